// Requests on a small random model: drafted, shared and cached answers equal plain ones; threads chosen by trying.
#include <chrono>
#include <cmath>
#include <thread>

#include "checks.hpp"

using namespace mirim;

std::unique_ptr<Model> random_model(int head) {
    dice.seed(11);
    Config c;
    c.vocab = 97, c.hidden = 64, c.layers = 2, c.heads = 4, c.kv_heads = 2, c.head_dim = head, c.inter = 96;
    c.context = 512;
    for (int i = 0; i < c.head_dim / 2; ++i) c.frequencies.push_back(std::pow(10000.0f, -float(i) * 2 / float(head)));
    auto model = std::make_unique<Model>(c, "");
    auto matrix = [&](const std::string& name, int rows, int columns) {
        auto w = floats(size_t(rows) * columns, 0.05f);
        model->add(name, Source::f32, true, reinterpret_cast<uint8_t*>(w.data()), w.size() * 4, rows, columns);
    };
    auto ones = [&](const std::string& name, int size) {
        std::vector<float> w(size, 1.0f);
        model->add(name, Source::f32, false, reinterpret_cast<uint8_t*>(w.data()), w.size() * 4, 1, size);
    };
    matrix("token_embd.weight", c.vocab, c.hidden);
    ones("output_norm.weight", c.hidden);
    for (int l = 0; l < c.layers; ++l) {
        std::string at = "blk." + std::to_string(l) + ".";
        ones(at + "attn_norm.weight", c.hidden);
        ones(at + "ffn_norm.weight", c.hidden);
        matrix(at + "attn_q.weight", 4 * head, c.hidden);
        matrix(at + "attn_k.weight", 2 * head, c.hidden);
        matrix(at + "attn_v.weight", 2 * head, c.hidden);
        matrix(at + "attn_output.weight", c.hidden, 4 * head);
        matrix(at + "ffn_gate.weight", c.inter, c.hidden);
        matrix(at + "ffn_up.weight", c.inter, c.hidden);
        matrix(at + "ffn_down.weight", c.hidden, c.inter);
    }
    model->finish();
    return model;
}

std::vector<int> prompt(int seed) {
    std::vector<int> tokens;
    for (int i = 0; i < 40 + seed % 90; ++i) tokens.push_back((i * 7 + seed % 3) % 97);
    return tokens;
}

std::vector<int> answer(Engine& engine, int seed, int draft, int* cached) {
    auto r = std::make_shared<Request>();
    r->prompt = prompt(seed);
    r->most = 60;
    r->draft = draft;
    r->sampling.temperature = seed % 2 ? 0.8f : 0.0f;
    r->sampling.seed = uint64_t(seed);
    engine.submit(r);
    std::unique_lock<std::mutex> lock(r->mutex);
    r->changed.wait(lock, [&] { return !r->ended.empty(); });
    std::vector<int> tokens;
    for (const Chosen& c : r->out) tokens.push_back(c.token);
    if (cached) *cached = r->cached;
    return tokens;
}

namespace {

// Every row of a long text, alone and beside others: threads take tokens of their own, then meet over all rows.
std::vector<float> whole(Engine& engine, Task task) {
    std::vector<std::shared_ptr<Request>> all;
    for (int n = 0; n < 3; ++n) {
        auto r = std::make_shared<Request>();
        r->task = task;
        for (int i = 0; i < 150 + 40 * n; ++i) r->prompt.push_back((i * 5 + n) % 97);
        engine.submit(r);
        all.push_back(r);
    }
    std::vector<float> values;
    for (auto& r : all) {
        std::unique_lock<std::mutex> lock(r->mutex);
        r->changed.wait(lock, [&] { return !r->ended.empty(); });
        values.insert(values.end(), r->values.begin(), r->values.end());
    }
    return values;
}

void check_whole() {
    for (int head : {16, 64}) {  // heads together as wide as the model, and wider
        Engine plain(random_model(head), 512, 1, 0, 1, 1), two(random_model(head), 512, 4, 0, 2, 2),
            three(random_model(head), 512, 4, 0, 3, 3);
        for (Task task : {Task::rows, Task::scores, Task::mean, Task::whole}) {
            const auto expected = whole(plain, task);
            for (Engine* engine : {&two, &three})
                for (int round = 0; round < 3; ++round) {
                    const auto got = whole(*engine, task);
                    if (got.size() != expected.size()) differ("rows of long texts, their number");
                    same(got.data(), expected.data(), expected.size() * 4, "rows of long texts");
                }
        }
    }
    std::printf("whole texts by 2 and 3 threads\n");
}

void check_requests() {
    Engine plain(random_model(), 512, 1, 0, 1, 1), rich(random_model(), 512, 4, 1 << 20, 2, 2);
    std::vector<std::vector<int>> expected;
    for (int seed = 0; seed < 24; ++seed) expected.push_back(answer(plain, seed, 0));
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (int round = 0; round < 3; ++round)
                for (int seed = t; seed < 24; seed += 2)
                    if (answer(rich, seed, 8) != expected[seed]) differ("answer " + std::to_string(seed));
        });
    std::thread busybody([&] {
        for (int i = 0; i < 20; ++i) {
            auto r = std::make_shared<Request>();
            r->prompt.assign(100, i);
            r->most = 300;
            rich.submit(r);
            std::this_thread::sleep_for(std::chrono::milliseconds(3));
            r->cancelled = true;
            rich.poke();
            rich.trial(8, 20, 2);
            rich.set_threads(1 + i % 2, 1 + i % 3);
            rich.counts();
        }
    });
    for (auto& t : threads) t.join();
    busybody.join();
    auto last = std::make_shared<Request>();
    last->prompt.assign(10, 1);
    last->most = 400;
    rich.submit(last);
    rich.stop();
    Counts c = rich.counts();
    if (!c.cached || !c.written) differ("nothing was cached or written");
    std::printf("engine: %lld steps, %lld written, %lld of %lld proposals accepted\n", c.steps, c.written, c.accepted,
                c.proposed);
}

// Of prompts that begin alike what is alike is computed once, to the token: together, one after the other, on from an answer.
void check_shared() {
    Engine plain(random_model(), 512, 1, 0, 1, 1);
    for (size_t spare : {size_t(0), size_t(1) << 20}) {
        Engine rich(random_model(), 512, 6, spare, 2, 2);
        auto ask = [](Engine& engine, const std::vector<int>& prompt, int seed) {
            auto r = std::make_shared<Request>();
            r->prompt = prompt;
            r->most = 20;
            r->sampling.temperature = 1.0f;
            r->sampling.seed = uint64_t(seed);
            engine.submit(r);
            return r;
        };
        auto told = [](Request& r) {
            std::unique_lock<std::mutex> lock(r.mutex);
            r.changed.wait(lock, [&] { return !r.ended.empty(); });
            std::vector<int> tokens;
            for (const Chosen& c : r.out) tokens.push_back(c.token);
            return tokens;
        };
        const std::vector<int> text = prompt(61);  // pages and a part of one
        std::vector<std::shared_ptr<Request>> all;
        for (int seed = 0; seed < 14; ++seed) all.push_back(ask(rich, text, seed));
        int cached = 0;
        for (int seed = 0; seed < 14; ++seed) {
            if (told(*all[seed]) != told(*ask(plain, text, seed))) differ("an answer drawn beside others");
            cached += all[seed]->cached;
        }
        // Without memory to spare those behind the slots find the prompt as long as one of the first is at work.
        const int most = 13 * int(text.size() - 1);
        if (cached > most || cached < (spare ? most : most / 2)) differ("one prompt of many, " + std::to_string(cached));
        if (!spare) continue;
        // The first 53 tokens of those, and others behind.
        std::vector<int> other(text.begin(), text.begin() + 53);
        for (int i = 0; i < 20; ++i) other.push_back((text[53] + 1 + i) % 97);
        auto r = ask(rich, other, 1);
        if (told(*r) != told(*ask(plain, other, 1)) || r->cached != 53) differ("a page that begins alike");
        // A conversation that goes on; the last token of an answer was never computed.
        std::vector<int> more = other;
        for (int token : told(*r)) more.push_back(token);
        more.push_back(5), more.push_back(6);
        const int known = int(more.size()) - 3;
        r = ask(rich, more, 2);
        if (told(*r) != told(*ask(plain, more, 2)) || r->cached != known) differ("on from an answer");
    }
    std::puts("prompts that begin alike are computed once");
}

// Two threads whose steps take twice as long as one's are given up; a pause is no reason to try, nor is a prompt.
void check_threads() {
    Threads threads(2);
    int last = 2;
    bool tried = false;
    double spent = 0;
    auto step = [&](int tokens) {
        const auto began = std::chrono::steady_clock::now();
        last = threads.next(tokens);
        std::this_thread::sleep_for(std::chrono::milliseconds(last == 2 ? 10 : 5) + std::chrono::microseconds(100 * tokens));
        threads.done();
        tried |= last == 1;
        spent += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    };
    step(1);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    for (int n = 0; n < 11; ++n) {
        step(1);
        if (tried && spent < 0.25) differ("threads tried after a pause");
    }
    for (int n = 0; n < 40 && !tried; ++n) {
        step(20);
        if (tried) differ("threads tried with a prompt");
        step(1);
    }
    for (int n = 0; n < 400 && (n < 4 || last == 2); ++n) step(1);
    if (last != 1) differ("threads that wait for each other are kept");
    std::puts("threads: one where two are slower");
}

}  // namespace

void check_engine() {
    check_requests();
    check_shared();
    check_whole();
    check_threads();
}
