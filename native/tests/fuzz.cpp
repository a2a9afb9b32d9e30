// The core against arbitrary input: shapes, names, types and sizes that lie, adapters, requests, files of pages; encoders
// and their texts.
//
// `LLVMFuzzerTestOneInput` is libFuzzer's entry (clang: -fsanitize=fuzzer -DLIBFUZZER). Without it this program mutates
// a sound input by itself: fuzz [COUNT [FIRST]], or runs the files it is given: fuzz FILE...
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include "../src/encoder.hpp"
#include "../src/engine.hpp"
#include "../src/keep.hpp"

using namespace mirim;

namespace {

// Counts of what the inputs came to, so that the driver can tell whether they reached anything.
int opened = 0, refused = 0, answered = 0;

// What is left of the input; zeros when it is used up.
class Input {
public:
    Input(const uint8_t* data, size_t size) : at_(data), left_(size) {}
    bool empty() const { return !left_; }
    uint8_t byte() {
        if (!left_) return 0;
        --left_;
        return *at_++;
    }
    int word() {
        int low = byte();
        return low | byte() << 8;
    }
    int number() {
        int low = word();
        return low | word() << 16;
    }
    std::string text() {
        std::string s;
        for (int n = byte(); n > 0 && left_; --n) s.push_back(char(byte()));
        return s;
    }

private:
    const uint8_t* at_;
    size_t left_;
};

enum Order : uint8_t { ADD, BEGIN, ADAPT, OPEN, WRITE, ROWS, SCORES, MEAN, RESTORE, ORDERS };

// Memory of exactly this size, so that a byte read beyond it is noticed. Small numbers of any type.
std::vector<uint8_t> filled(int size, int seed) {
    std::vector<uint8_t> data(size_t(std::min(std::max(size, 0), 1 << 16)));
    for (size_t i = 0; i < data.size(); ++i) data[i] = i % 2 ? uint8_t(0x3c | (seed & 0x83)) : uint8_t(i * 7 + size_t(seed));
    return data;
}

void wait(Request& r) {
    std::unique_lock<std::mutex> lock(r.mutex);
    while (r.ended.empty()) {
        if (r.waiting && !r.answered) {
            r.cancelled = true;  // masks are the caller's; here none comes
            return;
        }
        r.changed.wait_for(lock, std::chrono::milliseconds(20));
    }
    answered += r.ended == "stop" || r.ended == "length";
}

void request(Engine& engine, Order order, Input& in) {
    auto r = std::make_shared<Request>();
    r->task = order == WRITE ? Task::write : order == ROWS ? Task::rows : order == SCORES ? Task::scores : Task::mean;
    r->adapter = int8_t(in.byte());
    r->first = order == WRITE ? 0 : in.byte();
    for (int n = in.byte(); n > 0; --n) r->prompt.push_back(int8_t(in.byte()));
    r->most = 1 + in.byte() % 8;
    r->draft = in.byte() % 16;
    r->sampling.temperature = float(in.byte()) / 64;
    r->sampling.top_k = in.byte();
    r->sampling.top_p = float(in.byte()) / 200;
    r->sampling.min_p = float(in.byte()) / 200;
    r->sampling.repeat_penalty = float(in.byte()) / 64;
    r->logprobs = int8_t(in.byte());
    // As the Python side asks: of what there is.
    if (r->task != Task::write && r->first >= int(r->prompt.size())) return;
    if (r->task == Task::scores && (r->first < 1 || r->prompt.size() < 2)) return;
    engine.submit(r);
    wait(*r);
}

void run(Input in, const std::string& path) {
    Config c;
    c.vocab = in.word(), c.hidden = in.word(), c.layers = in.byte(), c.heads = in.byte(), c.kv_heads = in.byte();
    c.head_dim = in.word(), c.inter = in.word(), c.context = in.word();
    c.neighbours = in.byte() & 1, c.gelu = in.byte() & 1, c.narrow_cache = in.byte() & 1;
    for (int n = in.byte(); n > 0; --n) c.frequencies.push_back(float(in.byte()) / 256);
    c.window = in.word(), c.norms_behind = in.byte() & 1;
    for (int n = in.byte(); n > 0; --n) c.local.push_back(in.byte() & 1);
    for (int n = in.byte(); n > 0; --n) c.local_frequencies.push_back(float(in.byte()) / 256);
    auto model = std::make_unique<Model>(c, "");
    std::unique_ptr<Engine> engine;
    while (!in.empty()) {
        const auto order = Order(in.byte() % ORDERS);
        try {
            if (order == ADD || order == ADAPT) {
                const int adapter = order == ADAPT ? int8_t(in.byte()) : 0;
                const std::string name = in.text();
                const auto type = Source(in.byte());
                const bool flag = in.byte() & 1;
                const int rows = in.number(), columns = in.number();
                const int size = in.number();
                const auto data = filled(size, in.byte());
                if (!model) continue;
                if (order == ADD) model->add(name, type, flag, data.data(), data.size(), rows, columns);
                else model->adapt(adapter, name, flag, type, data.data(), data.size(), rows, columns, 0.5f);
            } else if (order == BEGIN) {
                if (model && model->adapters() < 8) model->begin_adapter();
            } else if (order == OPEN) {
                if (!model) continue;
                model->finish();
                const int context = std::min(c.context, 256);
                engine = std::make_unique<Engine>(std::move(model), context, 2, 1 << 16, 1, 2);
                ++opened;
            } else if (order == RESTORE) {
                std::vector<uint8_t> file;
                for (int n = in.word(); n > 0 && !in.empty(); --n) file.push_back(in.byte());
                if (!engine) continue;
                FILE* stream = std::fopen(path.c_str(), "wb");
                if (!stream || std::fwrite(file.data(), 1, file.size(), stream) != file.size() || std::fclose(stream)) std::abort();
                chmod(path.c_str(), 0600);
                restore(*engine, path, Seal{});
            } else if (engine) {
                request(*engine, order, in);
            }
        } catch (const std::invalid_argument&) {
            ++refused;
        } catch (const std::runtime_error&) {
            ++refused;
        }
    }
}

void run_encoder(Input in) {
    EncoderConfig c;
    c.vocab = in.word(), c.hidden = in.word(), c.layers = in.byte(), c.heads = in.byte(), c.inter = in.word();
    c.context = in.word();
    Encoder encoder(c, "");
    bool ready = false;
    while (!in.empty()) {
        try {
            if (in.byte() & 1) {
                const std::string name = in.text();
                const auto type = Source(in.byte());
                const bool flag = in.byte() & 1;
                const int rows = in.number(), columns = in.number(), size = in.number();
                const auto data = filled(size, in.byte());
                encoder.add(name, type, flag, data.data(), data.size(), rows, columns);
            } else {
                if (!ready) encoder.finish(), ready = true, ++opened;
                std::vector<std::vector<int>> texts(in.byte() % 4);
                size_t rows = 0;
                Wanted wanted;
                for (int n = in.byte() % 3; n > 0; --n) wanted.layers.push_back(int8_t(in.byte()));
                for (auto& text : texts) {
                    for (int n = in.byte(); n > 0; --n) text.push_back(int8_t(in.byte()));
                    rows += wanted.rows(text);
                }
                std::vector<float> out(rows * size_t(c.hidden));
                encoder.encode(texts, 1 + in.byte() % 3, wanted, out.data(), [] {});
                ++answered;
            }
        } catch (const std::invalid_argument&) {
            ++refused;
        } catch (const std::runtime_error&) {
            ++refused;
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const std::string path = "/tmp/mirim-fuzz-" + std::to_string(getpid()) + ".kv";
    try {
        // The first byte says which.
        if (size && data[0] & 1) run_encoder(Input(data + 1, size - 1));
        else run(Input(data + (size > 0), size - (size > 0)), path);
    } catch (const std::runtime_error&) {
        ++refused;  // figures out of range
    }
    unlink(path.c_str());
    return 0;
}

#if !defined(LIBFUZZER)

namespace {

struct Output {
    std::vector<uint8_t> bytes;

    void byte(int v) { bytes.push_back(uint8_t(v)); }
    void word(int v) { byte(v), byte(v >> 8); }
    void number(int v) { word(v), word(v >> 16); }
    void text(const std::string& s) {
        byte(int(s.size()));
        for (char ch : s) byte(ch);
    }
    void tensor(const std::string& name, Source type, bool flag, int rows, int columns) {
        text(name), byte(int(type)), byte(flag), number(rows), number(columns);
        number(int(row_bytes(type, columns)) * rows), byte(int(name.size()));
    }
};

// An input that opens an encoder of two layers and gives it three texts.
std::vector<uint8_t> sound_encoder() {
    Output out;
    const int vocab = 40, hidden = 64, inter = 96, context = 64;
    out.byte(1), out.word(vocab), out.word(hidden), out.byte(2), out.byte(2), out.word(inter), out.word(context);
    auto tensor = [&](const std::string& name, Source type, bool flag, int rows, int columns) {
        out.byte(1);
        out.tensor(name, type, flag, rows, columns);
    };
    auto norm = [&](const std::string& name) {
        for (const char* part : {".weight", ".bias"}) tensor(name + part, Source::f32, false, 1, hidden);
    };
    tensor("token_embd.weight", Source::q4_0, false, vocab, hidden);
    tensor("position_embd.weight", Source::f32, false, context, hidden);
    tensor("token_types.weight", Source::f32, false, 1, hidden);
    norm("token_embd_norm");
    for (const std::string at : {"blk.0.", "blk.1."}) {
        for (const std::string stem : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"}) {
            const int rows = stem == "ffn_up" ? inter : hidden;
            tensor(at + stem + ".weight", Source::q4_0, false, rows, stem == "ffn_down" ? inter : hidden);
            tensor(at + stem + ".bias", Source::f32, false, 1, rows);
        }
        norm(at + "attn_output_norm");
        norm(at + "layer_output_norm");
    }
    for (int layers : {0, 2}) {
        out.byte(2), out.byte(3), out.byte(layers);
        for (int l = 1; l <= layers; ++l) out.byte(l);
        for (int length : {1, 40, 64}) {
            out.byte(length);
            for (int i = 0; i < length; ++i) out.byte(i % 40);
        }
        out.byte(1);
    }
    return out.bytes;
}

// An input that opens a model of two layers, one with a window, with an adapter and asks it everything.
std::vector<uint8_t> sound() {
    Output out;
    auto byte = [&](int v) { out.byte(v); };
    auto word = [&](int v) { out.word(v); };
    byte(0);
    const int vocab = 40, hidden = 32, layers = 2, inter = 48, q = 64, kv = 32;
    word(vocab), word(hidden), byte(layers), byte(4), byte(2), word(16), word(inter), word(256);
    byte(1), byte(0), byte(1), byte(8);
    for (int i = 0; i < 8; ++i) byte(200 - 20 * i);
    word(20), byte(1), byte(layers), byte(1), byte(0), byte(8);
    for (int i = 0; i < 8; ++i) byte(100 - 10 * i);
    auto tensor = [&](int order, const std::string& name, Source type, bool flag, int rows, int columns) {
        byte(order);
        if (order == ADAPT) byte(0);
        out.tensor(name, type, flag, rows, columns);
    };
    tensor(ADD, "token_embd.weight", Source::q8_0, false, vocab, hidden);
    tensor(ADD, "output_norm.weight", Source::f32, false, 1, hidden);
    byte(BEGIN);
    for (int l = 0; l < layers; ++l) {
        const std::string at = "blk." + std::to_string(l) + ".";
        tensor(ADD, at + "attn_norm.weight", Source::f32, false, 1, hidden);
        tensor(ADD, at + "ffn_norm.weight", Source::f32, false, 1, hidden);
        tensor(ADD, at + "post_attention_norm.weight", Source::f32, false, 1, hidden);
        tensor(ADD, at + "post_ffw_norm.weight", Source::f32, false, 1, hidden);
        tensor(ADD, at + "attn_q.weight", Source::q4_0, false, q, hidden);
        tensor(ADD, at + "attn_k.weight", Source::f16, true, kv, hidden);
        tensor(ADD, at + "attn_v.weight", Source::bf16, false, kv, hidden);
        tensor(ADD, at + "attn_output.weight", Source::f16, false, hidden, q);
        tensor(ADD, at + "ffn_gate.weight", Source::q8_0, false, inter, hidden);
        tensor(ADD, at + "ffn_up.weight", Source::f32, true, inter, hidden);
        tensor(ADD, at + "ffn_up.bias", Source::f32, false, 1, inter);
        tensor(ADD, at + "ffn_down.weight", Source::f32, false, hidden, inter);
        tensor(ADAPT, at + "attn_q.weight", Source::f32, true, 3, hidden);
        tensor(ADAPT, at + "attn_q.weight", Source::f16, false, q, 3);
    }
    byte(OPEN);
    for (int order : {WRITE, ROWS, SCORES, MEAN})
        for (int adapter : {-1, 0}) {
            byte(order), byte(adapter);
            if (order != WRITE) byte(2);
            byte(40);
            for (int i = 0; i < 40; ++i) byte(i % 5);
            for (int v : {5, 4, 64, 20, 180, 2, 70, 1}) byte(v);
        }
    byte(RESTORE), word(8);
    for (char ch : std::string("mirim kv")) byte(ch);
    return out.bytes;
}

std::vector<uint8_t> mutated(std::vector<uint8_t> data, unsigned seed) {
    std::mt19937 dice(seed);
    for (unsigned n = 1 + dice() % 4; n > 0 && !data.empty(); --n) {
        const size_t at = dice() % data.size();
        static const int odd[] = {0, 1, 2, 15, 16, 31, 32, 33, 127, 128, 255};
        switch (dice() % 6) {
            case 0: data[at] ^= uint8_t(1 << dice() % 8); break;
            case 1: data[at] = uint8_t(odd[dice() % 11]); break;
            case 2: data[dice() % std::min<size_t>(data.size(), 24)] = uint8_t(odd[dice() % 11]); break;
            case 3: data.resize(at); break;
            case 4: data.insert(data.begin() + long(at), uint8_t(dice())); break;
            default: data.erase(data.begin() + long(at)); break;
        }
    }
    return data;
}

}  // namespace

int main(int argc, char** argv) {
    char* rest = nullptr;
    const long count = argc > 1 ? std::strtol(argv[1], &rest, 10) : 1000;
    if (rest && *rest) {
        for (int i = 1; i < argc; ++i) {
            std::vector<uint8_t> data;
            FILE* file = std::fopen(argv[i], "rb");
            if (!file) return std::perror(argv[i]), 2;
            for (int c; (c = std::fgetc(file)) != EOF;) data.push_back(uint8_t(c));
            std::fclose(file);
            LLVMFuzzerTestOneInput(data.data(), data.size());
        }
        return 0;
    }
    const std::vector<uint8_t> whole[] = {sound(), sound_encoder()};
    for (const auto& one : whole) LLVMFuzzerTestOneInput(one.data(), one.size());
    if (opened != 2 || answered != 10) return std::printf("the sound inputs failed: %d answers\n", answered), 1;
    const long first = argc > 2 ? std::strtol(argv[2], nullptr, 10) : 0;
    for (long n = first; n < first + count; ++n) {
        // Said before, so that a crash names its input.
        std::fprintf(stderr, "\r%ld", n);
        const auto data = mutated(whole[n % 4 == 3], unsigned(n));
        LLVMFuzzerTestOneInput(data.data(), data.size());
    }
    std::printf("\nfuzz: %ld inputs, %d models opened, %d orders refused, %d answers\n", count, opened, refused, answered);
    return 0;
}

#endif
