// What OpenAI's own JavaScript client gets from a server: node client.mjs URL MODEL
import OpenAI from "openai";

const [url, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
const ask = { model, messages: [{ role: "user", content: "Where do bees live?" }], max_tokens: 24, temperature: 0 };
const row = {};

const whole = await client.chat.completions.create(ask);
row.whole = [whole.choices[0].message.content, whole.choices[0].finish_reason, whole.usage.completion_tokens];

let text = "", usage = null;
const stream = await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } });
for await (const chunk of stream) {
  text += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
row.streamed = [text, usage.completion_tokens];

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const called = await client.chat.completions.create({
  ...ask, tool_choice: "required", tools: [{ type: "function", function: { name: "weather", parameters } }],
});
const call = called.choices[0].message.tool_calls[0].function;
row.called = [call.name, Object.keys(JSON.parse(call.arguments)), called.choices[0].finish_reason];

const schema = { type: "object", properties: { hive: { enum: ["old", "new"] } }, required: ["hive"], additionalProperties: false };
const formed = await client.chat.completions.create({
  ...ask, response_format: { type: "json_schema", json_schema: { name: "hive", schema, strict: true } },
});
row.formed = JSON.parse(formed.choices[0].message.content);

const vectors = await client.embeddings.create({ model, input: ["bee", "a longer text"] });
row.vectors = vectors.data.map((v) => v.embedding.length);
row.models = (await client.models.list()).data.map((m) => m.id);
row.response = (await client.responses.create({ model, input: "Where?", max_output_tokens: 8 })).output_text;

row.errors = [];
for (const wrong of [{ ...ask, model: "wasp" }, { ...ask, bees: 3 }, { ...ask, messages: [{ role: "user", content: "bee ".repeat(9000) }] }]) {
  try {
    await client.chat.completions.create(wrong);
    row.errors.push(null);
  } catch (error) {
    row.errors.push([error.status, error.code, error.param]);
  }
}
console.log(JSON.stringify(row));
