// An encoder of random weights: the same bits by every instruction set, number of threads and company.
#include <memory>
#include <stdexcept>
#include <thread>

#include "../src/encoder.hpp"
#include "checks.hpp"

using namespace mirim;

namespace {

using Texts = std::vector<std::vector<int>>;

EncoderConfig shape(int heads) {
    EncoderConfig c;
    c.vocab = 97, c.hidden = 96, c.layers = 2, c.heads = heads, c.inter = 160, c.context = 300;
    return c;
}

std::unique_ptr<Encoder> random_encoder(int heads, Source type, bool eight, const char* kernels) {
    dice.seed(5);
    const EncoderConfig c = shape(heads);
    auto encoder = std::make_unique<Encoder>(c, kernels);
    auto matrix = [&](const std::string& name, int rows, int columns) {
        std::vector<uint8_t> raw(row_bytes(type, columns) * rows);
        if (type == Source::f32) {
            const auto w = floats(size_t(rows) * columns, 0.1f);
            std::memcpy(raw.data(), w.data(), raw.size());
        } else {
            for (size_t i = 0; i < raw.size(); ++i) raw[i] = i % 18 == 0 ? 0 : i % 18 == 1 ? 0x24 : uint8_t(dice());  // 2^-6
        }
        encoder->add(name, type, eight, raw.data(), raw.size(), rows, columns);
    };
    auto plain = [&](const std::string& name, int rows, int columns, float middle) {
        auto w = floats(size_t(rows) * columns, 0.1f);
        for (float& x : w) x += middle;
        encoder->add(name, Source::f32, false, reinterpret_cast<uint8_t*>(w.data()), w.size() * 4, rows, columns);
    };
    auto norm = [&](const std::string& name) {
        plain(name + ".weight", 1, c.hidden, 1.0f);
        plain(name + ".bias", 1, c.hidden, 0.0f);
    };
    matrix("token_embd.weight", c.vocab, c.hidden);
    plain("position_embd.weight", c.context, c.hidden, 0.0f);
    plain("token_types.weight", 1, c.hidden, 0.0f);
    norm("token_embd_norm");
    for (int l = 0; l < c.layers; ++l) {
        const std::string at = "blk." + std::to_string(l) + ".";
        for (const char* stem : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"}) {
            const bool up = !std::strcmp(stem, "ffn_up"), down = !std::strcmp(stem, "ffn_down");
            matrix(at + stem + ".weight", up ? c.inter : c.hidden, down ? c.inter : c.hidden);
            plain(at + stem + ".bias", 1, up ? c.inter : c.hidden, 0.0f);
        }
        norm(at + "attn_output_norm");
        norm(at + "layer_output_norm");
    }
    encoder->finish();
    return encoder;
}

std::vector<float> vectors(Encoder& e, const Texts& texts, int threads, const Wanted& wanted = {}) {
    size_t rows = 0;
    for (const auto& text : texts) rows += wanted.rows(text);
    std::vector<float> out(rows * e.config().hidden);
    e.encode(texts, threads, wanted, out.data(), [] {});
    return out;
}

template <class Work>
void must_refuse(const char* what, Work work) {
    try {
        work();
    } catch (const std::exception&) {
        return;
    }
    differ(std::string("an encoder took ") + what);
}

void check_refusals() {
    for (auto change : {+[](EncoderConfig& c) { c.heads = 0; }, +[](EncoderConfig& c) { c.heads = 7; },
                        +[](EncoderConfig& c) { c.hidden = 100; }, +[](EncoderConfig& c) { c.layers = -1; },
                        +[](EncoderConfig& c) { c.inter = 1 << 30; }, +[](EncoderConfig& c) { c.context = 1 << 30; }}) {
        EncoderConfig c = shape(3);
        change(c);
        must_refuse("odd sizes", [&] { Encoder(c, ""); });
    }
    Encoder one(shape(3), "");
    const std::vector<float> w(size_t(97) * 96);
    auto add = [&](const char* name, Source type, size_t bytes, int rows, int columns) {
        one.add(name, type, false, reinterpret_cast<const uint8_t*>(w.data()), bytes, rows, columns);
    };
    for (const char* name : {"", "blk", "blk.", "blk..attn_q.weight", "blk.2.attn_q.weight", "blk.0.", "blk.99999.attn_q.weight",
                             "blk.-1.attn_q.weight", "blk.0.attn_q", "output.weight"})
        must_refuse(name, [&] { add(name, Source::f32, 96 * 96 * 4, 96, 96); });
    must_refuse("a wrong shape", [&] { add("blk.0.attn_q.weight", Source::f32, 96 * 95 * 4, 95, 96); });
    must_refuse("a negative shape", [&] { add("blk.0.attn_q.weight", Source::f32, 96 * 96 * 4, -96, -96); });
    must_refuse("too few bytes", [&] { add("blk.0.attn_q.weight", Source::f32, 96 * 96 * 4 - 1, 96, 96); });
    must_refuse("an unknown type", [&] { add("blk.0.attn_q.weight", Source(99), 96 * 96 * 4, 96, 96); });
    must_refuse("a bias in half precision", [&] { add("blk.0.attn_q.bias", Source::f16, 96 * 2, 1, 96); });
    add("blk.0.attn_q.bias", Source::f32, 96 * 4, 1, 96);
    must_refuse("a tensor twice", [&] { add("blk.0.attn_q.bias", Source::f32, 96 * 4, 1, 96); });
    must_refuse("an unfinished model", [&] { one.finish(); });
    must_refuse("work before it was finished", [&] { vectors(one, {{1}}, 1); });
    auto whole = random_encoder(3, Source::f32, false, "");
    for (const Texts& texts : {Texts{{1}, {}}, Texts{{97}}, Texts{{-1}}, Texts{std::vector<int>(301, 1)}})
        must_refuse("a text that does not fit", [&] { vectors(*whole, texts, 1); });
    for (const Wanted& wanted : {Wanted{{0}}, Wanted{{3}}, Wanted{{2, 1}}, Wanted{{1, 1}}, Wanted{{-1, 2}}})
        must_refuse("odd layers", [&] { vectors(*whole, {{1}}, 1, wanted); });
    for (int threads : {0, -1, 1 << 20}) must_refuse("odd threads", [&] { vectors(*whole, {{1}}, threads); });
    if (!vectors(*whole, {}, 2).empty()) differ("an encoder of nothing");
}

}  // namespace

void check_encoder() {
    Texts texts;
    for (int length : {1, 2, 17, 128, 130, 33, 5}) {
        texts.emplace_back();
        for (int i = 0; i < length; ++i) texts.back().push_back((i * 7 + length) % 97);
    }
    int count;
    const Kernels* const* list = available(&count);
    // Heads of 48, 32 and 16. Floats are slow without instructions for them.
    for (int heads : {2, 3, 6})
        for (bool four : {false, true}) {
            if (four && heads != 3) continue;
            const Source type = four ? Source::q4_0 : Source::f32;
            const bool narrow = heads != 3;
            auto usual = random_encoder(heads, type, narrow, "");
            const std::vector<float> expected = vectors(*usual, texts, 1);
            const size_t bytes = expected.size() * sizeof(float), hidden = usual->config().hidden;
            for (float x : expected)
                if (!(x > -100 && x < 100)) differ("an encoder's vector is no number");
            for (int n = 0; n < count; ++n) {
                auto other = random_encoder(heads, type, narrow, list[n]->name);
                same(vectors(*other, texts, 1 + n).data(), expected.data(), bytes, std::string("encoder by ") + list[n]->name);
            }
            for (int threads : {2, 5}) same(vectors(*usual, texts, threads).data(), expected.data(), bytes, "encoder by threads");
            for (size_t t = 0; t < texts.size(); ++t)
                same(vectors(*usual, {texts[t]}, 1 + int(t) % 3).data(), &expected[t * hidden], hidden * 4, "a text by itself");
            // Four bits held in eight are the same numbers.
            if (four) {
                auto eight = random_encoder(heads, type, true, "");
                same(vectors(*eight, texts, 2).data(), expected.data(), bytes, "four bits in eight");
            }
            // The mean of the last states is the vector, and a layer's states are the same beside another's.
            const std::vector<float> states = vectors(*usual, texts, 1 + heads % 2, {{1, 2}}), first = vectors(*usual, texts, 2, {{1}});
            size_t token = 0;
            for (size_t t = 0; t < texts.size(); ++t)
                for (size_t i = 0; i < texts[t].size(); ++i, ++token) {
                    same(&states[token * 2 * hidden], &first[token * hidden], hidden * 4, "states of a layer");
                    if (texts[t].size() == 1) same(&states[(token * 2 + 1) * hidden], &expected[t * hidden], hidden * 4, "the mean of one");
                }
        }
    // Callers at the same time take turns, here of two passes each.
    auto shared = random_encoder(3, Source::q4_0, true, "");
    for (int n = 0; n < 3; ++n) texts.emplace_back(300, n);
    const std::vector<float> expected = vectors(*shared, texts, 2);
    std::vector<std::thread> callers;
    for (int n = 0; n < 2; ++n)
        callers.emplace_back([&, n] {
            if (vectors(*shared, texts, 1 + n) != expected) differ("an encoder with several callers");
        });
    for (std::thread& one : callers) one.join();
    // One that is stopped between passes leaves its turn to others.
    std::vector<float> out(expected.size());
    must_refuse("no stop", [&] {
        shared->encode(texts, 2, {}, out.data(), [] { throw std::runtime_error("stop"); });
    });
    if (vectors(*shared, texts, 2) != expected) differ("an encoder after it was stopped");
    check_refusals();
    std::printf("encoder: %zu texts by %d instruction sets\n", texts.size(), count);
}
