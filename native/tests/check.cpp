// Checks of the core without Python, to be built with sanitizers or for another processor.
//
// `kernels`: every instruction set against the portable one, bit for bit, on random numbers.
// `engine`: requests from many threads on a small random model; drafted, shared and cached answers equal plain ones.
// `keep`: keys and values through a file, under load and from files that are broken.
// `encoder`: vectors by every instruction set, number of threads and company; hostile tensors and texts.
// Exits with 1 and says what differs.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include <sys/stat.h>
#include <unistd.h>

#include "../src/engine.hpp"
#include "../src/keep.hpp"
#include "checks.hpp"

using namespace mirim;

namespace {

void check_kernels() {
    int count;
    const Kernels* const* list = available(&count);
    const Kernels* plain = find_kernels("portable");
    for (int n = 0; n < count; ++n) {
        const Kernels* k = list[n];
        auto label = [&](const char* what) { return std::string(k->name) + " " + what; };
        for (int size : {16, 64, 96, 576}) {
            auto x = floats(size, 3.0f), w = floats(size), up = floats(size);
            x[size / 2] = 1e30f;
            std::vector<float> a(size), b(size);
            k->norm(x.data(), w.data(), size, 1e-5f, a.data());
            plain->norm(x.data(), w.data(), size, 1e-5f, b.data());
            same(a.data(), b.data(), size * 4, label("norm"));
            x[size / 2] = 50.0f;
            a = b = x;
            k->silu_times(a.data(), up.data(), size);
            plain->silu_times(b.data(), up.data(), size);
            same(a.data(), b.data(), size * 4, label("silu"));
            a = b = x;
            k->gelu_times(a.data(), up.data(), size);
            plain->gelu_times(b.data(), up.data(), size);
            same(a.data(), b.data(), size * 4, label("gelu"));
            a = b = x;
            k->accumulate(a.data(), up.data(), w.data(), 0.3f, size - 5);
            plain->accumulate(b.data(), up.data(), w.data(), 0.3f, size - 5);
            same(a.data(), b.data(), size * 4, label("accumulate"));
            k->layer_norm(a.data(), w.data(), up.data(), size, 1e-12f);
            plain->layer_norm(b.data(), w.data(), up.data(), size, 1e-12f);
            same(a.data(), b.data(), size * 4, label("layer norm"));
            for (bool neighbours : {true, false}) {
                const int pairs = neighbours ? size / 2 : size / 2 - 3;
                k->rotate(a.data(), w.data(), up.data(), pairs, neighbours);
                plain->rotate(b.data(), w.data(), up.data(), pairs, neighbours);
                same(a.data(), b.data(), size * 4, label("rotate"));
            }
            // Twice is the block's size times what it was.
            a = b = up;
            k->hadamard(a.data(), size);
            plain->hadamard(b.data(), size);
            same(a.data(), b.data(), size * 4, label("hadamard"));
            k->hadamard(a.data(), size);
            for (int i = 0; i < size; ++i)
                if (!(std::fabs(a[i] / float(size & -size) - up[i]) < 1e-5f)) differ(label("hadamard twice"));
        }
        const auto bias = floats(ROWS);
        auto made = floats(size_t(7) * ROWS, 3.0f);
        made[0] = 1e30f, made[1] = -1e30f, made[2] = -5.5f;
        std::vector<float> rows[2] = {made, made};
        for (int side = 0; side < 2; ++side) {
            const Kernels* by = side ? plain : k;
            by->shift(rows[side].data(), bias.data(), 0.7f, 7);
            by->gelu(rows[side].data(), bias.data(), 7);
            by->add_rows(rows[side].data() + ROWS, ROWS, made.data(), bias.data(), 6);
        }
        same(rows[0].data(), rows[1].data(), made.size() * 4, label("biases"));
        for (int i = 0; i < ROWS; ++i) {
            const double x = double((made[i] + bias[i]) * 0.7f + bias[i]), exact = x * 0.5 * std::erfc(-x * std::sqrt(0.5));
            if (!(std::fabs(rows[0][i] - exact) < 2e-6 * std::max(1.0, std::fabs(x)))) differ(label("gelu by its definition"));
        }
        for (int size : {1, 15, 16, 300, 1000}) {
            auto row = floats(size, 20.0f);
            const float most = *std::max_element(row.begin(), row.end());
            row[size / 2] = size > 1 && row[size / 2] < most ? -INFINITY : row[size / 2];  // masked
            std::vector<float> weights[2] = {std::vector<float>(size), std::vector<float>(size)};
            double total[2], exact = 0;
            for (int side = 0; side < 2; ++side)
                total[side] = (side ? plain : k)->weigh(row.data(), size, most, 1.7f, weights[side].data());
            same(weights[0].data(), weights[1].data(), size_t(size) * 4, label("weights"));
            same(total, total + 1, sizeof *total, label("sum of weights"));
            for (int i = 0; i < size; ++i) {
                const double meant = std::exp((double(row[i]) - most) * 1.7f);
                exact += meant;
                if (!(std::fabs(weights[0][i] - meant) < 1e-6) || (std::isinf(row[i]) && weights[0][i] != 0.0f))
                    differ(label("weights by their definition"));
            }
            if (!(std::fabs(total[0] / exact - 1) < 1e-6)) differ(label("sum of weights by its definition"));
            if (k->weigh(row.data(), size, most, 1.7f, nullptr) != total[0]) differ(label("sum of weights alone"));
            row[size - 1] = NAN;
            if (std::isfinite(k->weigh(row.data(), size, most, 1.7f, nullptr))) differ(label("weights of no number"));
        }
        for (int columns : {32, 96, 576}) {
            const int tokens = 13, groups = columns / GROUP;
            auto x = floats(size_t(tokens) * columns);
            for (int i = 0; i < GROUP; ++i) x[i] = 0;  // a group without any size
            // The largest sums that there are.
            std::fill_n(x.begin() + columns, columns, 1.0f);
            std::fill_n(x.begin() + 2 * columns, columns, -1.0f);
            std::vector<int8_t> q[2];
            std::vector<float> scale[2], out[2];
            std::vector<int32_t> start[2];
            for (int side = 0; side < 2; ++side) {
                q[side].resize(x.size());
                scale[side].resize(tokens * groups);
                start[side].resize(tokens * groups);
                out[side].resize(tokens * ROWS);
                for (int t = 0; t < tokens; ++t)
                    (side ? plain : k)->quantise(x.data() + size_t(t) * columns, columns, q[side].data() + size_t(t) * columns,
                                                 scale[side].data() + t * groups, start[side].data() + t * groups);
            }
            same(q[0].data(), q[1].data(), q[0].size(), label("quantise"));
            same(scale[0].data(), scale[1].data(), scale[0].size() * 4, label("scales"));
            same(start[0].data(), start[1].data(), start[0].size() * 4, label("starts"));
            for (Kind kind : {Kind::f32, Kind::f16, Kind::bf16, Kind::q8, Kind::q4}) {
                Matrix m{kind, ROWS, columns, nullptr};
                std::vector<uint8_t> raw(m.bytes());
                for (uint8_t& byte : raw) byte = uint8_t(dice());
                if (!m.quantised()) {
                    // Any bits may be no number: sizes near one instead.
                    auto w = floats(size_t(ROWS) * columns);
                    for (size_t i = 0; i < w.size(); ++i) {
                        uint32_t bits;
                        std::memcpy(&bits, &w[i], 4);
                        uint16_t half = uint16_t(kind == Kind::bf16 ? bits >> 16 : (dice() & 0x83ff) | 0x3800);
                        if (kind == Kind::f32) std::memcpy(&raw[i * 4], &w[i], 4);
                        else std::memcpy(&raw[i * 2], &half, 2);
                    }
                } else {
                    size_t group = raw.size() / groups;
                    for (int g = 0; g < groups; ++g) {
                        for (int r = 0; r < ROWS; ++r) {
                            uint16_t half = uint16_t((dice() & 0x3ff) | 0x2000);
                            std::memcpy(&raw[g * group + r * 2], &half, 2);
                        }
                        for (size_t line = g * group + ROWS * 2; line < (g + 1) * group; line += ROWS * 4) {
                            std::fill_n(raw.begin() + line, 4, uint8_t(0));
                            std::fill_n(raw.begin() + line + 4, 4, uint8_t(255));
                        }
                    }
                }
                m.data = raw.data();
                for (int side = 0; side < 2; ++side) {
                    Inputs in{x.data(), q[side].data(), scale[side].data(), start[side].data(), columns};
                    (side ? plain : k)->product(m, 0, in, 0, tokens, out[side].data());
                }
                same(out[0].data(), out[1].data(), out[0].size() * 4, label("product"));
                for (int alone = 0; alone < tokens; ++alone) {
                    Inputs in{x.data(), q[0].data(), scale[0].data(), start[0].data(), columns};
                    k->product(m, 0, in, alone, 1, out[1].data());
                    same(out[1].data(), out[0].data() + alone * ROWS, ROWS * 4, label("product of one token"));
                }
            }
        }
        for (bool narrow : {false, true})
            for (int size : {16, 48, 64}) {
                const int tokens = 77;
                const Cell cell{size, narrow};
                const int columns = cell.columns(), groups = columns / GROUP;
                std::vector<std::vector<uint8_t>> store[2];
                const uint8_t* pages[2][PIECE / PAGE] = {};
                auto keys = floats(size_t(tokens) * columns), values = floats(size_t(tokens) * size);
                auto asked = floats(size_t(QUERIES) * columns, 1 / std::sqrt(float(size)));
                for (auto* rows : {&keys, &asked})
                    for (size_t i = 0; i < rows->size(); ++i)
                        if (int(i) % columns >= size) (*rows)[i] = 0;
                for (int side = 0; side < 2; ++side)
                    for (int p = 0; p * PAGE < tokens; ++p) {
                        // What nobody stored may be anything, even what is no number.
                        store[side].emplace_back(cell.bytes(), uint8_t(0xff));
                        for (int t = p * PAGE; t < tokens && t < (p + 1) * PAGE; ++t) {
                            uint8_t* at = store[side][p].data();
                            (side ? plain : k)->store_key(keys.data() + size_t(t) * columns, cell, t % PAGE, at);
                            (side ? plain : k)->store_value(values.data() + size_t(t) * size, cell, t % PAGE, at + cell.keys());
                        }
                        pages[side][p] = store[side][p].data();
                    }
                for (size_t p = 0; p < store[0].size(); ++p)
                    same(store[0][p].data(), store[1][p].data(), store[0][p].size(), label("cache"));
                float most[2][QUERIES], weight[2][QUERIES];
                std::vector<float> out[2];
                for (int side = 0; side < 2; ++side) {
                    out[side].resize(size_t(QUERIES) * size);
                    std::vector<int8_t> q(asked.size());
                    std::vector<float> scale(QUERIES * groups);
                    std::vector<int32_t> start(QUERIES * groups);
                    plain->quantise(asked.data(), int(asked.size()), q.data(), scale.data(), start.data());
                    const Inputs query{asked.data(), q.data(), scale.data(), start.data(), columns};
                    float* to[QUERIES];
                    int visible[QUERIES];
                    for (int i = 0; i < QUERIES; ++i) {
                        to[i] = out[side].data() + size_t(i) * size;
                        visible[i] = tokens - i * 3;
                    }
                    (side ? plain : k)->attend({query, 0, pages[side], visible, nullptr, QUERIES, tokens, cell, most[side], weight[side], to, nullptr});
                    // Few together come to the same.
                    std::vector<float> few(size_t(3) * size);
                    float peak[3], sum[3], *apart[3] = {few.data(), few.data() + size, few.data() + 2 * size};
                    (side ? plain : k)->attend({query, 7, pages[side], visible + 7, nullptr, 3, visible[7], cell, peak, sum, apart, nullptr});
                    same(few.data(), to[7], few.size() * 4, label("attention of few"));
                    same(sum, &weight[side][7], sizeof sum, label("attention of few, weights"));
                    // And to what the definition says, but for rounding.
                    for (int i = 0; i < QUERIES; ++i) {
                        std::vector<double> exact(size_t(size), 0.0);
                        double all = 0;
                        for (int t = 0; t < visible[i]; ++t) {
                            double score = 0;
                            for (int d = 0; d < size; ++d) score += double(asked[i * columns + d]) * keys[t * columns + d];
                            const double p = std::exp(score - most[side][i]);
                            all += p;
                            for (int d = 0; d < size; ++d) exact[d] += p * values[size_t(t) * size + d];
                        }
                        for (int d = 0; d < size; ++d)
                            if (!(std::fabs(exact[d] / all - to[i][d] / weight[side][i]) < (narrow ? 0.1 : 1e-3)))
                                differ(label("attention by its definition"));
                    }
                }
                same(out[0].data(), out[1].data(), out[0].size() * 4, label("attention"));
                same(most, most[1], sizeof most[0], label("attention's scores"));
                same(weight, weight[1], sizeof weight[0], label("attention's weights"));
                k->join(&most[0][0], &weight[0][0], out[0].data(), 1.5f, 2.0f, out[0].data() + size, size);
                plain->join(&most[1][0], &weight[1][0], out[1].data(), 1.5f, 2.0f, out[1].data() + size, size);
                k->divide(out[0].data(), 3.0f, size);
                plain->divide(out[1].data(), 3.0f, size);
                same(out[0].data(), out[1].data(), size * 4, label("join"));
            }
        std::printf("%s equals portable\n", k->name);
    }
}

std::unique_ptr<Model> random_model(int head = 16) {
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

std::vector<int> answer(Engine& engine, int seed, int draft, int* cached = nullptr) {
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

void check_engine() {
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

std::string contents(const std::string& path) {
    std::string all;
    FILE* file = std::fopen(path.c_str(), "rb");
    if (!file) differ("no file " + path);
    for (int c; (c = std::fgetc(file)) != EOF;) all.push_back(char(c));
    std::fclose(file);
    return all;
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

void put(const std::string& path, const std::string& all) {
    FILE* file = std::fopen(path.c_str(), "wb");
    if (!file || std::fwrite(all.data(), 1, all.size(), file) != all.size() || std::fclose(file)) differ("cannot write");
    chmod(path.c_str(), 0600);
}

// Pages in use, and kept without a request.
std::pair<int, int> held(Engine& engine) {
    std::pair<int, int> counts;
    engine.between([&](Pages& pages) { counts = {pages.in_use(), pages.kept()}; });
    return counts;
}

bool refused(Engine& engine, const std::string& path, const Seal& seal) {
    try {
        restore(engine, path, seal);
        return false;
    } catch (const std::runtime_error&) {
        return true;
    }
}

void check_keep() {
    char folder[] = "/tmp/mirim-keep-XXXXXX";
    if (!mkdtemp(folder)) differ("no folder to write in");
    const std::string path = std::string(folder) + "/a.kv", other = std::string(folder) + "/b.kv";
    const Seal seal{1, 2, 3}, strange{1, 2, 4};
    const int seed = 80;
    Engine first(random_model(), 512, 2, 1 << 20, 1, 1), none(random_model(), 512, 1, 0, 1, 1);
    if (save(first, prompt(seed), path, seal) != 0) differ("pages were saved that are not there");
    const std::vector<int> expected = answer(first, seed, 0);
    const int pages = save(first, prompt(seed), path, seal);
    if (pages != int(prompt(seed).size()) / PAGE || pages < 3) differ("number of saved pages");
    struct stat status;
    if (stat(path.c_str(), &status) || (status.st_mode & 0777) != 0600) differ("mode of the file");
    if (!refused(none, path, seal)) differ("an engine that keeps nothing took pages");

    Engine second(random_model(), 512, 2, 1 << 20, 2, 2);
    int cached = 0;
    if (!refused(second, path, strange)) differ("a strange seal");
    if (restore(second, path, seal) != pages || restore(second, path, seal) != pages) differ("number of restored pages");
    if (answer(second, seed, 8, &cached) != expected || cached != pages * PAGE) differ("an answer from restored pages");
    if (held(second).second < pages) differ("restored pages were not kept");
    // What was restored can be written again: the same file.
    if (save(second, prompt(seed), other, seal) != pages || contents(path) != contents(other)) differ("a second file");

    Engine third(random_model(), 512, 2, 1 << 20, 1, 1);
    const std::string whole = contents(path);
    std::mt19937 chance(3);
    for (int n = 0; n < 400; ++n) {
        std::string bad = whole;
        const size_t at = n < 200 ? chance() % 512 : chance() % bad.size();  // half of them in what comes first
        switch (n % 4) {
            case 0: bad[at] = char(bad[at] ^ 1 << chance() % 8); break;
            case 1: bad.resize(at); break;
            case 2: bad.append(1 + chance() % 99, 'x'); break;
            default: bad.replace(at, std::min<size_t>(8, bad.size() - at), std::min<size_t>(8, bad.size() - at), char(chance()));
        }
        if (bad == whole) continue;
        put(other, bad);
        if (!refused(third, other, seal)) differ("a broken file was taken, " + std::to_string(n));
    }
    if (held(third) != std::make_pair(0, 0)) differ("a broken file left pages");
    chmod(path.c_str(), 0622);
    if (!refused(third, path, seal)) differ("a file that others may write");
    chmod(path.c_str(), 0600);
    for (const std::string& bad : {std::string(folder), std::string("/dev/null"), path + ".none"})
        if (!refused(third, bad, seal)) differ("no file: " + bad);
    if (answer(third, seed, 0, &cached) != expected || cached) differ("an answer beside broken files");

    // While answers are being written, and while the engine stops.
    std::thread asking([&] {
        for (int n = 0; n < 12; ++n)
            if (answer(third, seed, 8) != expected) differ("an answer while pages are saved");
    });
    std::thread keeping([&] {
        for (int n = 0; n < 30; ++n) {
            save(third, prompt(seed), other, seal);
            if (restore(third, path, seal) != pages) differ("restored under load");
        }
    });
    asking.join();
    keeping.join();
    if (held(third).first || held(third).second > 2 * pages + 8) differ("pages are still held");
    std::thread late([&] {
        try {
            for (;;) restore(third, path, seal);
        } catch (const std::invalid_argument&) {
        }
    });
    third.stop();
    late.join();
    for (const std::string& file : {path, other}) unlink(file.c_str());
    rmdir(folder);
    std::printf("keep: %d pages of %zu bytes\n", pages, third.model().page_bytes());
}

}  // namespace

int main(int argc, char** argv) {
    std::string what = argc > 1 ? argv[1] : "";
    if (what.empty() || what == "kernels") check_kernels();
    if (what.empty() || what == "engine") check_engine(), check_shared(), check_whole(), check_threads();
    if (what.empty() || what == "keep") check_keep();
    if (what.empty() || what == "encoder") check_encoder();
    return 0;
}
