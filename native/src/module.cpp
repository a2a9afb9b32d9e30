// The Python side of the core.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <chrono>

#include "encoder.hpp"
#include "engine.hpp"
#include "keep.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace mirim {

namespace {

using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class T>
T field(const nb::dict& d, const char* name, T otherwise) {
    return d.contains(name) ? nb::cast<T>(d[name]) : otherwise;
}

Config configure(const nb::dict& d) {
    Config c;
    c.vocab = field(d, "vocab_size", 0);
    c.hidden = field(d, "hidden_size", 0);
    c.layers = field(d, "num_hidden_layers", 0);
    c.heads = field(d, "num_attention_heads", 0);
    c.kv_heads = field(d, "num_key_value_heads", 0);
    c.head_dim = field(d, "head_dim", 0);
    c.inter = field(d, "intermediate_size", 0);
    c.context = field(d, "max_position_embeddings", 0);
    c.epsilon = field(d, "rms_norm_eps", 1e-5f);
    c.neighbours = field(d, "interleaved", true);
    c.frequencies = field(d, "frequencies", std::vector<float>());
    c.rope_gain = field(d, "rope_gain", 1.0f);
    c.window = field(d, "sliding_window", 0);
    c.local = field(d, "local_layers", std::vector<bool>());
    c.local_frequencies = field(d, "local_frequencies", std::vector<float>());
    c.embedding_scale = field(d, "embedding_multiplier", 1.0f);
    c.residual_scale = field(d, "residual_multiplier", 1.0f);
    c.attention_scale = field(d, "attention_multiplier", 0.0f);
    c.logit_scale = field(d, "logit_multiplier", 1.0f);
    c.norms_behind = field(d, "norms_behind", false);
    c.gelu = field(d, "gelu", false);
    c.narrow_cache = field(d, "narrow_cache", true);
    return c;
}

nb::object floats(std::vector<float>&& values, size_t rows, size_t columns) {
    auto* kept = new std::vector<float>(std::move(values));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, float, nb::ndim<2>>(kept->data(), {rows, columns}, owner));
}

const char* const ELSEWHERE = "the model was opened by the process that this one was forked from; open it again in this one";

// A request as Python holds it; it keeps the engine alive.
struct Handle {
    std::shared_ptr<Engine> engine;
    std::shared_ptr<Request> request;

    ~Handle() { cancel(); }

    void cancel() {
        if (!engine || !request) return;  // nothing was asked
        request->cancelled = true;
        engine->poke();
    }

    // Wait at most `seconds` for tokens, the end, or a mask being asked for:
    // ([(token, logprob, [(token, logprob)])], reason or "", asked)
    nb::tuple next(double seconds) {
        if (!engine->here()) throw std::runtime_error(ELSEWHERE);
        Request& r = *request;
        std::deque<Chosen> out;
        std::string ended;
        bool waiting;
        {
            nb::gil_scoped_release free;
            std::unique_lock<std::mutex> lock(r.mutex);
            r.changed.wait_for(lock, std::chrono::duration<double>(seconds),
                               [&] { return !r.out.empty() || !r.ended.empty() || (r.waiting && !r.answered); });
            out.swap(r.out);
            ended = r.ended;
            waiting = r.waiting && !r.answered;
        }
        nb::list tokens;
        for (const Chosen& c : out) {
            nb::list likely;
            for (auto& [token, logprob] : c.likely) likely.append(nb::make_tuple(token, logprob));
            tokens.append(nb::make_tuple(c.token, c.logprob, likely));
        }
        return nb::make_tuple(tokens, ended, waiting);
    }

    // The tokens that may come next, one bit each.
    void allow(const Bytes& bits) {
        Request& r = *request;
        const size_t words = (size_t(engine->model().config().vocab) + 31) / 32;
        std::vector<uint32_t> mask(words, 0);
        std::memcpy(mask.data(), bits.data(), std::min(words * 4, bits.size()));
        {
            std::lock_guard<std::mutex> lock(r.mutex);
            if (!r.waiting || r.answered) throw std::invalid_argument("no mask was asked for");
            r.mask = std::move(mask);
            r.answered = true;
        }
        engine->poke();
    }

    // Wait for the end of a request that gives values.
    std::vector<float> values() {
        Request& r = *request;
        for (bool ended = false; !ended;) {
            {
                nb::gil_scoped_release free;
                std::unique_lock<std::mutex> lock(r.mutex);
                ended = r.changed.wait_for(lock, std::chrono::milliseconds(200), [&] { return !r.ended.empty(); });
            }
            if (PyErr_CheckSignals()) throw nb::python_error();  // Ctrl-C; the request is cancelled with its handle
        }
        if (r.ended != "stop") throw std::runtime_error(r.ended[0] == '!' ? r.ended.substr(1) : "it was " + r.ended);
        return std::move(r.values);
    }
};

struct Core {
    std::unique_ptr<Model> loading;
    std::shared_ptr<Engine> engine;

    Core(const nb::dict& config, const std::string& kernels)
        : loading(std::make_unique<Model>(configure(config), kernels.c_str())) {}

    void add(const std::string& name, int type, bool eight_bits, const Bytes& data, int rows, int columns) {
        if (!loading) throw std::invalid_argument("the model was opened already");
        nb::gil_scoped_release free;
        loading->add(name, Source(type), eight_bits, data.data(), data.size(), rows, columns);
    }

    int begin_adapter() {
        if (!loading) throw std::invalid_argument("the model was opened already");
        return loading->begin_adapter();
    }

    void adapt(int adapter, const std::string& name, bool down, int type, const Bytes& data, int rows, int columns,
               float scale) {
        if (!loading) throw std::invalid_argument("the model was opened already");
        nb::gil_scoped_release free;
        loading->adapt(adapter, name, down, Source(type), data.data(), data.size(), rows, columns, scale);
    }

    void open(int context, int slots, size_t spare, int few, int many) {
        if (!loading) throw std::invalid_argument("the model was opened already");
        loading->finish();
        if (context < 1 || context > loading->config().context || slots < 1 || slots > 4096 || few < 1 || many < 1 ||
            few > 1024 || many > 1024)
            throw std::invalid_argument("context, slots or threads are out of range");
        engine = std::shared_ptr<Engine>(new Engine(std::move(loading), context, slots, spare, few, many), [](Engine* e) {
            if (e->here()) delete e;
        });
    }

    // A share of its own: another thread may close the model meanwhile.
    std::shared_ptr<Engine> running() const {
        if (!engine) throw std::invalid_argument("the model is not open");
        if (!engine->here()) throw std::runtime_error(ELSEWHERE);
        return engine;
    }

    std::unique_ptr<Handle> submit(std::shared_ptr<Request> r) {
        auto handle = std::make_unique<Handle>();
        handle->engine = running();
        handle->request = std::move(r);
        handle->engine->submit(handle->request);
        return handle;
    }

    std::unique_ptr<Handle> write(std::vector<int> ids, int most, float temperature, int top_k, float top_p, float min_p,
                                  float repeat_penalty, uint64_t seed, const std::vector<int>& ends, int logprobs,
                                  bool masked, int draft, int adapter) {
        if (most < 1) throw std::invalid_argument("nothing is to be written");
        auto r = std::make_shared<Request>();
        r->prompt = std::move(ids);
        r->most = most;
        r->sampling = {temperature, top_p, min_p, repeat_penalty, top_k, seed};
        r->ends.insert(ends.begin(), ends.end());
        r->logprobs = logprobs;
        r->masked = masked;
        r->draft = draft;
        r->adapter = adapter;
        return submit(std::move(r));
    }

    std::unique_ptr<Handle> ask(Task task, std::vector<int> ids, int first, int adapter) {
        auto r = std::make_shared<Request>();
        r->task = task;
        r->prompt = std::move(ids);
        r->first = first;
        r->adapter = adapter;
        return submit(std::move(r));
    }

    nb::object logits(std::vector<int> ids, int first, int adapter) {
        const size_t rows = ids.size() - std::min<size_t>(std::max(first, 0), ids.size());
        if (!rows) throw std::invalid_argument("no row is asked for");
        auto handle = ask(Task::rows, std::move(ids), std::max(first, 0), adapter);
        return floats(handle->values(), rows, handle->engine->model().config().vocab);
    }

    std::vector<float> scores(std::vector<int> ids, int first, int adapter) {
        if (ids.size() < 2 || first >= int(ids.size())) return {};
        return ask(Task::scores, std::move(ids), std::max(first, 1), adapter)->values();
    }

    std::vector<float> mean(std::vector<int> ids, int first) {
        first = std::min(std::max(first, 0), std::max(int(ids.size()) - 1, 0));
        return ask(Task::mean, std::move(ids), first, -1)->values();
    }

    // [tokens][hidden] of each text, whose tokens see all of it.
    nb::list states(std::vector<std::vector<int>> texts, int adapter) {
        std::vector<std::unique_ptr<Handle>> asked;
        for (std::vector<int>& ids : texts) asked.push_back(ask(Task::whole, std::move(ids), 0, adapter));
        nb::list all;
        for (auto& handle : asked) {
            const size_t tokens = handle->request->prompt.size();
            all.append(floats(handle->values(), tokens, handle->engine->model().config().hidden));
        }
        return all;
    }

    double trial(int count, int position, int threads) {
        std::shared_ptr<Engine> e = running();
        nb::gil_scoped_release free;
        return e->trial(count, position, threads);
    }

    nb::dict counts() {
        std::shared_ptr<Engine> e = running();
        Counts c = e->counts();
        nb::dict d;
        d["steps"] = c.steps;
        d["tokens"] = c.tokens;
        d["written"] = c.written;
        d["proposed"] = c.proposed;
        d["accepted"] = c.accepted;
        d["cached"] = c.cached;
        d["active"] = c.active;
        d["waiting"] = c.waiting;
        d["cache_bytes"] = (size_t(c.pages) + c.kept) * c.page_bytes;
        d["weight_bytes"] = e->model().weight_bytes();
        return d;
    }

    int save(const std::vector<int>& ids, const std::string& path, const nb::bytes& seal) {
        std::shared_ptr<Engine> e = running();
        const Seal s = sealed(seal);
        nb::gil_scoped_release free;
        return mirim::save(*e, ids, path, s);
    }

    int restore(const std::string& path, const nb::bytes& seal) {
        std::shared_ptr<Engine> e = running();
        const Seal s = sealed(seal);
        nb::gil_scoped_release free;
        return mirim::restore(*e, path, s);
    }

    static Seal sealed(const nb::bytes& bytes) {
        Seal seal;
        if (bytes.size() != seal.size()) throw std::invalid_argument("a seal has 32 bytes");
        std::memcpy(seal.data(), bytes.c_str(), seal.size());
        return seal;
    }

    // Of every weight as the core holds it.
    uint64_t digest() {
        std::shared_ptr<Engine> e = running();
        nb::gil_scoped_release free;
        return e->model().digest();
    }

    // How pages are laid out, and how many may stay without a request.
    nb::dict pages() {
        std::shared_ptr<Engine> e = running();
        nb::dict d;
        d["kernels"] = e->model().kernels().name;
        d["tokens"] = PAGE;
        d["bytes"] = e->model().page_bytes();
        d["spare"] = e->spare_pages();
        return d;
    }

    void close() {
        // Taken away while nobody else looks; whoever has a share of it finds it stopped.
        const std::shared_ptr<Engine> stopped = std::move(engine);
        const std::unique_ptr<Model> unloaded = std::move(loading);
        nb::gil_scoped_release free;
        if (stopped && stopped->here()) stopped->stop();
    }
};

EncoderConfig configure_encoder(const nb::dict& d) {
    EncoderConfig c;
    c.vocab = field(d, "vocab_size", 0);
    c.hidden = field(d, "hidden_size", 0);
    c.layers = field(d, "num_hidden_layers", 0);
    c.heads = field(d, "num_attention_heads", 0);
    c.inter = field(d, "intermediate_size", 0);
    c.context = field(d, "max_position_embeddings", 0);
    c.epsilon = field(d, "layer_norm_eps", 1e-12f);
    return c;
}

nb::object encode(Encoder& e, const std::vector<std::vector<int>>& texts, int threads, std::vector<int> layers) {
    const Wanted wanted{std::move(layers)};
    const size_t hidden = e.config().hidden;
    size_t rows = 0;
    for (const std::vector<int>& text : texts) rows += wanted.rows(text);
    std::vector<float> out(rows * hidden);
    {
        nb::gil_scoped_release free;
        e.encode(texts, threads, wanted, out.data(), [] {
            nb::gil_scoped_acquire held;
            if (PyErr_CheckSignals()) throw nb::python_error();  // Ctrl-C
        });
    }
    return floats(std::move(out), rows, hidden);
}

std::vector<std::string> kernel_names() {
    int count;
    const Kernels* const* list = available(&count);
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) names.emplace_back(list[i]->name);
    return names;
}

}  // namespace

}  // namespace mirim

NB_MODULE(_core, m) {
    using namespace mirim;
    m.doc() = "Models of the Llama family, and encoders shaped like BERT, on ordinary processors.";
    m.def("kernels", &kernel_names, "Names of the instruction sets this processor can use, the fastest first.");
    m.attr("build") = MIRIM_BUILD;  // another one may compute other bits
    nb::class_<Handle>(m, "Request")
        .def("next", &Handle::next, "seconds"_a = 3600.0)
        .def("allow", &Handle::allow, "bits"_a)
        .def("cancel", &Handle::cancel)
        .def_prop_ro("cached", [](Handle& h) { return h.request->cached.load(); })
        .def_prop_ro("proposed", [](Handle& h) { return h.request->proposed.load(); })
        .def_prop_ro("accepted", [](Handle& h) { return h.request->accepted.load(); })
        .def_prop_ro("steps", [](Handle& h) { return h.request->steps.load(); });
    nb::class_<Core>(m, "Core")
        .def(nb::init<const nb::dict&, const std::string&>(), "config"_a, "kernels"_a = "")
        .def("add", &Core::add, "name"_a, "type"_a, "eight_bits"_a, "data"_a, "rows"_a, "columns"_a)
        .def("begin_adapter", &Core::begin_adapter)
        .def("adapt", &Core::adapt, "adapter"_a, "name"_a, "down"_a, "type"_a, "data"_a, "rows"_a, "columns"_a, "scale"_a)
        .def("open", &Core::open, "context"_a, "slots"_a = 1, "spare"_a = 0, "few"_a = 1, "many"_a = 1)
        .def("write", &Core::write, "ids"_a, "most"_a, "temperature"_a = 0.0f, "top_k"_a = 0, "top_p"_a = 1.0f,
             "min_p"_a = 0.0f, "repeat_penalty"_a = 1.0f, "seed"_a = 0, "ends"_a = std::vector<int>(), "logprobs"_a = -1,
             "masked"_a = false, "draft"_a = 0, "adapter"_a = -1)
        .def("logits", &Core::logits, "ids"_a, "first"_a = 0, "adapter"_a = -1)
        .def("scores", &Core::scores, "ids"_a, "first"_a = 1, "adapter"_a = -1)
        .def("mean", &Core::mean, "ids"_a, "first"_a = 0)
        .def("states", &Core::states, "texts"_a, "adapter"_a = -1)
        .def("max_whole", [](Core& c) { return c.running()->model().max_whole(); })
        .def("trial", &Core::trial, "count"_a, "position"_a, "threads"_a)
        .def("set_threads", [](Core& c, int few, int many) {
            if (few < 1 || many < 1 || few > 1024 || many > 1024) throw std::invalid_argument("threads out of range");
            std::shared_ptr<Engine> e = c.running();
            nb::gil_scoped_release free;
            e->set_threads(few, many);
        }, "few"_a, "many"_a)
        .def("counts", &Core::counts)
        .def("digest", &Core::digest)
        .def("pages", &Core::pages)
        .def("save", &Core::save, "ids"_a, "path"_a, "seal"_a)
        .def("restore", &Core::restore, "path"_a, "seal"_a)
        .def("close", &Core::close);
    nb::class_<Encoder>(m, "Encoder")
        .def("__init__", [](Encoder* e, const nb::dict& config, const std::string& kernels) {
            new (e) Encoder(configure_encoder(config), kernels.c_str());
        }, "config"_a, "kernels"_a = "")
        .def("add", [](Encoder& e, const std::string& name, int type, bool eight_bits, const Bytes& data, int rows, int columns) {
            nb::gil_scoped_release free;
            e.add(name, Source(type), eight_bits, data.data(), data.size(), rows, columns);
        }, "name"_a, "type"_a, "eight_bits"_a, "data"_a, "rows"_a, "columns"_a)
        .def("finish", &Encoder::finish)
        .def("encode", &encode, "ids"_a, "threads"_a = 1, "layers"_a = std::vector<int>());
}
