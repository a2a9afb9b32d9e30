#include "keep.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "sum.hpp"

namespace mirim {

namespace {

// A file: this, int32 tokens[pages][PAGE], the pages, and the sum of all that as eight bytes. In the processor's own
// order of bytes: on another one the version does not fit.
struct Header {
    char magic[8] = {'m', 'i', 'r', 'i', 'm', ' ', 'k', 'v'};
    uint32_t version = 1, page_tokens = PAGE;
    uint64_t page_bytes = 0;
    uint32_t pages = 0, zero = 0;
    Seal seal{};
};
static_assert(sizeof(Header) == 64, "the header has no holes");
static_assert(PAGE * sizeof(int32_t) % 32 == 0, "parts of the sum are whole");

class File {
public:
    explicit File(int number) : number_(number) {
        if (number < 0) throw std::runtime_error(std::strerror(errno));
    }
    ~File() {
        if (number_ >= 0) ::close(number_);
    }
    File(const File&) = delete;

    int number() const { return number_; }

    void write(const void* data, size_t bytes) {
        for (auto* at = static_cast<const char*>(data); bytes;) {
            ssize_t n = ::write(number_, at, std::min(bytes, size_t(1) << 24));
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) throw std::runtime_error(std::strerror(n ? errno : ENOSPC));
            at += n;
            bytes -= size_t(n);
        }
    }

    void read(void* data, size_t bytes) {
        for (auto* at = static_cast<char*>(data); bytes;) {
            ssize_t n = ::read(number_, at, std::min(bytes, size_t(1) << 24));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) throw std::runtime_error(std::strerror(errno));
            if (!n) throw std::runtime_error("it is torn");
            at += n;
            bytes -= size_t(n);
        }
    }

    void close() {
        int number = number_;
        number_ = -1;
        if (::close(number)) throw std::runtime_error(std::strerror(errno));
    }

private:
    int number_;
};

// Pages that are held meanwhile, the first of the chain first. Its tail is let go of before what it hangs on, so that
// it is forgotten before it.
void release(Pages& pages, std::vector<int>& held) {
    for (; !held.empty(); held.pop_back()) pages.release(held.back());
}

// The part of a chain that is there, held.
std::vector<int> chain(Pages& pages, const int* tokens, int count) {
    std::vector<int> held;
    for (int i = 0; i < count; ++i) {
        int page = pages.find(held.empty() ? -1 : held.back(), tokens + size_t(i) * PAGE, 0);
        if (page < 0) break;
        held.push_back(page);
    }
    return held;
}

void sync_folder(const std::string& path) {
    size_t slash = path.rfind('/');
    std::string folder = slash == std::string::npos ? "." : slash ? path.substr(0, slash) : "/";
    int number = ::open(folder.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (number < 0) return;
    ::fsync(number);  // some file systems cannot; the file itself is whole either way
    ::close(number);
}

}  // namespace

int save(Engine& engine, const std::vector<int>& tokens, const std::string& path, const Seal& seal) {
    std::lock_guard<std::mutex> alone(engine.keeping());
    // More than what stays without a request could not be given back.
    const int count = int(tokens.size() / PAGE);
    if (!count || count > engine.spare_pages()) return 0;
    std::vector<int> held;
    std::vector<const uint8_t*> data;
    engine.between([&](Pages& pages) {
        held = chain(pages, tokens.data(), count);
        if (int(held.size()) < count) return release(pages, held);
        for (int page : held) data.push_back(pages.data(page));
    });
    if (held.empty()) return 0;
    // Published pages do not change any more: they are read while the engine works on.
    const std::string beside = path + ".new";
    auto let_go = [&] {
        try {
            engine.between([&](Pages& pages) { release(pages, held); });
        } catch (const std::invalid_argument&) {
            // It was closed meanwhile.
        }
    };
    try {
        File file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (::fchmod(file.number(), 0600)) throw std::runtime_error(std::strerror(errno));
        Header header;
        header.page_bytes = engine.model().page_bytes();
        header.pages = uint32_t(count);
        header.seal = seal;
        std::vector<int32_t> ids(tokens.begin(), tokens.begin() + size_t(count) * PAGE);
        Sum sum;
        auto put = [&](const void* from, size_t bytes) {
            sum.add(from, bytes);
            file.write(from, bytes);
        };
        put(&header, sizeof header);
        put(ids.data(), ids.size() * sizeof(int32_t));
        for (const uint8_t* page : data) put(page, header.page_bytes);
        uint64_t total = sum.value();
        file.write(&total, sizeof total);
        if (::fsync(file.number())) throw std::runtime_error(std::strerror(errno));
        file.close();
        if (std::rename(beside.c_str(), path.c_str())) throw std::runtime_error(std::strerror(errno));
    } catch (...) {
        ::unlink(beside.c_str());
        let_go();
        throw;
    }
    let_go();
    sync_folder(path);
    return count;
}

int restore(Engine& engine, const std::string& path, const Seal& seal) {
    std::lock_guard<std::mutex> alone(engine.keeping());
    // Whatever lies there: a pipe must not be waited for, a link not followed.
    File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat status;
    if (::fstat(file.number(), &status)) throw std::runtime_error(std::strerror(errno));
    if (!S_ISREG(status.st_mode)) throw std::runtime_error("it is no file");
    if (status.st_uid != ::geteuid() || (status.st_mode & 022)) throw std::runtime_error("others may write it");
    const Header expected;
    Header header;
    const uint64_t size = uint64_t(status.st_size);
    if (size < sizeof header) throw std::runtime_error("it is torn");
    file.read(&header, sizeof header);
    if (std::memcmp(header.magic, expected.magic, sizeof header.magic))
        throw std::runtime_error("it holds no keys and values");
    if (header.version != expected.version || header.page_tokens != expected.page_tokens)
        throw std::runtime_error("it has another format");
    if (header.seal != seal || header.page_bytes != engine.model().page_bytes())
        throw std::runtime_error("it belongs to another model or another version of mirim");
    const uint64_t count = header.pages, token_bytes = count * PAGE * sizeof(int32_t);
    if (!count || size != sizeof header + token_bytes + count * header.page_bytes + sizeof(uint64_t))
        throw std::runtime_error("it is torn");
    if (count > uint64_t(engine.spare_pages())) throw std::runtime_error("it holds more than is kept");
    std::vector<int32_t> ids(count * PAGE);
    file.read(ids.data(), token_bytes);
    std::vector<int> tokens(ids.begin(), ids.end());
    for (int token : tokens)
        if (token < 0 || token >= engine.model().config().vocab) throw std::runtime_error("it was changed");
    Sum sum;
    sum.add(&header, sizeof header);
    sum.add(ids.data(), token_bytes);

    // Pages that are there already stay as they are; the others are read into pages that nobody can find yet.
    std::vector<int> held;
    std::vector<uint8_t*> into;
    size_t there = 0;
    engine.between([&](Pages& pages) {
        held = chain(pages, tokens.data(), int(count));
        there = held.size();
        while (held.size() < count) {
            int page = pages.take();
            if (page < 0) return release(pages, held);
            held.push_back(page);
            into.push_back(pages.data(page));
        }
    });
    if (held.empty()) throw std::runtime_error("there is no room");
    bool sound = false;
    std::string why = "it was changed";
    try {
        std::vector<uint8_t> known(there ? header.page_bytes : 0);
        for (size_t i = 0; i < count; ++i) {
            uint8_t* to = i < there ? known.data() : into[i - there];
            file.read(to, header.page_bytes);
            sum.add(to, header.page_bytes);
        }
        uint64_t total;
        file.read(&total, sizeof total);
        sound = total == sum.value();
    } catch (const std::exception& error) {
        why = error.what();
    }
    engine.between([&](Pages& pages) {
        int before = -1;
        std::vector<int> found;
        for (size_t i = 0; sound && i < count; ++i) {
            // A request may have computed the same meanwhile.
            int page = pages.find(before, tokens.data() + i * PAGE, 0);
            if (page >= 0)
                found.push_back(page);
            else
                pages.publish(page = held[i], before, tokens.data() + i * PAGE, PAGE, 0);
            before = page;
        }
        release(pages, found);
        release(pages, held);
    });
    if (!sound) throw std::runtime_error(why);
    return int(count);
}

}  // namespace mirim
