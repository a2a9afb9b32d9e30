// Keys and values through a file, under load and from files that are broken.
#include <cstdio>
#include <stdexcept>
#include <thread>

#include <sys/stat.h>
#include <unistd.h>

#include "../src/keep.hpp"
#include "checks.hpp"

using namespace mirim;

namespace {

std::string contents(const std::string& path) {
    std::string all;
    FILE* file = std::fopen(path.c_str(), "rb");
    if (!file) differ("no file " + path);
    for (int c; (c = std::fgetc(file)) != EOF;) all.push_back(char(c));
    std::fclose(file);
    return all;
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

}  // namespace

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
