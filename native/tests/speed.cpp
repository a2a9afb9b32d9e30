// How fast the core is on this machine, without Python: what the processor and the memory give, and how much of it
// steps over random weights of true shapes reach.
//
//     speed SHAPE BITS THREADS...        15m, base, 135m or 350m; 8 or 4
//
// KERNELS=avx2 takes another instruction set than the best. BUSY=1 is for one thread on a machine that others use: the
// processor time of the fastest round instead of the median of the clock's.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <random>
#include <string>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "../src/model.hpp"
#include "../src/pages.hpp"

using namespace mirim;

namespace {

std::mt19937 dice(5);

const bool busy = std::getenv("BUSY");

double now() {
    timespec t;
    clock_gettime(busy ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

// The seconds that `work` takes.
double measure(int rounds, const std::function<void()>& work) {
    std::vector<double> took;
    for (int n = 0; n < rounds; ++n) {
        double before = now();
        work();
        took.push_back(now() - before);
    }
    std::sort(took.begin(), took.end());
    return took[busy ? 0 : took.size() / 2];
}

// Products of bytes, from registers only: twelve sums, so that none waits for itself.
#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vnni"))) void multiply(long rounds) {
#define SUM(n) "vpdpbusd %%zmm31, %%zmm31, %%zmm" #n "\n"
    for (long n = 0; n < rounds; ++n)
        asm volatile(SUM(0) SUM(1) SUM(2) SUM(3) SUM(4) SUM(5) SUM(6) SUM(7) SUM(8) SUM(9) SUM(10) SUM(11)::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11");
#undef SUM
}
#endif

double peak(Pool& pool, int threads) {
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx512vnni")) return 0;
    const long rounds = 2000000;
    double seconds = measure(5, [&] { pool.run(threads, [&](Crew&) { multiply(rounds); }); });
    return 12.0 * 64 * 2 * double(rounds) * threads / seconds;
#else
    return 0 * pool.threads() * threads;
#endif
}

// The sum of whole lines, eight bytes at a time or as many as the processor takes, with what comes so many bytes later asked
// for, of the second cache, or with nothing asked for.
template <int ASK>
void add_lines(const uint8_t* at, size_t bytes) {
    uint64_t sums[8] = {};
    for (size_t i = 0; i < bytes; i += 64) {
        uint64_t line[8];
        std::memcpy(line, at + i, 64);
        if (ASK) __builtin_prefetch(at + i + ASK, 0, 2);
        for (int j = 0; j < 8; ++j) sums[j] += line[j];
    }
    volatile uint64_t kept = sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
    (void)kept;
}
#if defined(__x86_64__)
template <int ASK>
__attribute__((target("avx512f"))) void add_wide_lines(const uint8_t* at, size_t bytes) {
    __m512i sums[4] = {};
    for (size_t i = 0; i < bytes; i += 256)
        for (int j = 0; j < 4; ++j) {
            if (ASK) __builtin_prefetch(at + i + j * 64 + ASK, 0, 2);
            sums[j] = _mm512_add_epi64(sums[j], _mm512_loadu_si512(at + i + j * 64));
        }
    volatile __m512i kept = _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3]));
    (void)kept;
}
#endif

// Bytes a second that threads read of `data` together, each its own part, by the fastest of these ways.
double stream(Pool& pool, int threads, const uint8_t* data, size_t bytes) {
    std::vector<void (*)(const uint8_t*, size_t)> ways = {add_lines<0>, add_lines<2048>, add_lines<4096>};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) ways.insert(ways.end(), {add_wide_lines<0>, add_wide_lines<2048>, add_wide_lines<4096>});
#endif
    const size_t part = bytes / size_t(threads) / 256 * 256;
    double best = 0;
    for (auto* way : ways) {
        const double seconds = measure(9, [&] {
            pool.run(threads, [&](Crew& crew) { way(data + part * size_t(crew.index()), part); });
        });
        best = std::max(best, double(part) * threads / seconds);
    }
    return best;
}

struct Shape {
    const char* name;
    int vocab, hidden, layers, heads, kv_heads, inter;
};
const Shape SHAPES[] = {{"15m", 8192, 384, 6, 6, 2, 1024},
                        {"base", 16384, 512, 10, 8, 2, 1280},
                        {"135m", 49152, 576, 30, 9, 3, 1536},
                        {"350m", 100352, 1024, 28, 16, 4, 2048}};

std::unique_ptr<Model> random_model(const Shape& s, int bits) {
    Config c;
    c.vocab = s.vocab, c.hidden = s.hidden, c.layers = s.layers, c.heads = s.heads, c.kv_heads = s.kv_heads;
    c.head_dim = 64, c.inter = s.inter, c.context = 4096;
    for (int i = 0; i < 32; ++i) c.frequencies.push_back(std::pow(10000.0f, -float(i) / 32));
    auto model = std::make_unique<Model>(c, std::getenv("KERNELS") ? std::getenv("KERNELS") : "");
    auto matrix = [&](const std::string& name, int rows, int columns) {
        const size_t group = bits == 8 ? 34 : 18;
        std::vector<uint8_t> raw(size_t(rows) * columns / GROUP * group);
        for (size_t i = 0; i + 4 <= raw.size(); i += 4) {
            uint32_t word = dice();
            std::memcpy(&raw[i], &word, 4);
        }
        const uint16_t scale = bits == 8 ? 0x0c00 : 0x1c00;  // 2^-12, 2^-8
        for (size_t i = 0; i < raw.size(); i += group) std::memcpy(&raw[i], &scale, 2);
        model->add(name, bits == 8 ? Source::q8_0 : Source::q4_0, false, raw.data(), raw.size(), rows, columns);
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
        matrix(at + "attn_q.weight", c.heads * 64, c.hidden);
        matrix(at + "attn_k.weight", c.kv_heads * 64, c.hidden);
        matrix(at + "attn_v.weight", c.kv_heads * 64, c.hidden);
        matrix(at + "attn_output.weight", c.hidden, c.heads * 64);
        matrix(at + "ffn_gate.weight", c.inter, c.hidden);
        matrix(at + "ffn_up.weight", c.inter, c.hidden);
        matrix(at + "ffn_down.weight", c.hidden, c.inter);
    }
    model->finish();
    return model;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string name = argc > 1 ? argv[1] : "135m", what = argc > 2 ? argv[2] : "8";
    std::vector<int> numbers;
    for (int i = 3; i < argc; ++i) numbers.push_back(std::atoi(argv[i]));
    if (numbers.empty()) numbers = {1, 2};
    const Shape* shape = nullptr;
    for (const Shape& s : SHAPES)
        if (name == s.name) shape = &s;
    if (!shape || (what != "8" && what != "4")) return std::fprintf(stderr, "usage: speed 15m|base|135m|350m 8|4 THREADS...\n"), 2;
    auto model = random_model(*shape, what == "8" ? 8 : 4);
    const Config& c = model->config();
    // Multiplications for a token, attention and head left out; bytes for a token.
    const double layer = double(c.hidden) * 64 * (2 * c.heads + 2 * c.kv_heads) + 3.0 * c.hidden * c.inter;
    const double each = 2 * layer * c.layers;
    const double read = (layer * c.layers + double(c.vocab) * c.hidden) * (what == "8" ? 34 : 18) / 32;
    Pages pages(model->page_bytes(), 16 * 72, 0);
    std::vector<std::vector<uint8_t*>> own(16);
    for (auto& one : own)
        for (int p = 0; p < 68; ++p) one.push_back(pages.data(pages.take()));
    std::vector<float> logits(size_t(16) * c.vocab);
    for (int threads : numbers) {
        Pool pool(threads);
        double bandwidth, gops = peak(pool, threads);
        {
            // On pages as large as those of the weights.
            Arena room;
            const size_t bytes = size_t(read) / 64 * 64;
            uint8_t* data = room.take(bytes);
            std::memset(data, 1, bytes);
            bandwidth = stream(pool, threads, data, bytes);
        }
        std::printf("%s, %s bits, %d threads: %.0f GOPS, %.1f GB/s over %.0f MB\n", shape->name, what.c_str(), threads,
                    gops / 1e9, bandwidth / 1e9, read / 1e6);
        auto prefill = [&](int length) {
            for (int from = 0; from < length; from += model->max_tokens()) {
                std::vector<Token> tokens;
                for (int t = from; t < length && t < from + model->max_tokens(); ++t)
                    tokens.push_back({t * 7 % c.vocab, t, own[0].data(), t == length - 1 ? 0 : -1});
                model->step(pool, threads, tokens.data(), int(tokens.size()), logits.data(), nullptr);
            }
        };
        for (int length : {16, 512, 1900}) {
            double seconds = measure(length > 1000 ? 3 : 9, [&] { prefill(length); });
            std::printf("  prefill %4d: %7.0f tok/s, %.0f %% of the peak\n", length, length / seconds,
                        100 * each * length / seconds / gops);
        }
        double single = 0;
        auto steps = [&](int position, int sequences, int drafted) {
            return measure(25, [&] {
                std::vector<Token> tokens;
                for (int s = 0; s < sequences; ++s)
                    for (int d = 0; d < drafted; ++d)
                        tokens.push_back({(s + d) * 5 % c.vocab, position + d, own[s].data(), int(tokens.size())});
                model->step(pool, threads, tokens.data(), int(tokens.size()), logits.data(), nullptr);
            });
        };
        for (int position : {16, 512, 1900}) {
            double seconds = steps(position, 1, 1);
            if (position == 512) single = seconds;
            std::printf("  decode at %4d: %7.0f tok/s, %.0f %% of the bandwidth\n", position, 1 / seconds,
                        100 * read / seconds / bandwidth);
        }
        for (int drafted : {4, 8, 16}) std::printf("  %2d drafted: %.2f steps\n", drafted, steps(512, 1, drafted) / single);
        std::printf("  16 sequences: %.0f tok/s\n", 16 / steps(512, 16, 1));
    }
    return 0;
}
