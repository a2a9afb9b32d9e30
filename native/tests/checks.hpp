// What the checks share.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

// check_encoder.cpp
void check_encoder();

inline std::mt19937 dice(7);

[[noreturn]] inline void differ(const std::string& what) {
    std::printf("differs: %s\n", what.c_str());
    std::exit(1);
}

inline void same(const void* a, const void* b, size_t bytes, const std::string& what) {
    if (std::memcmp(a, b, bytes)) differ(what);
}

inline std::vector<float> floats(size_t n, float width = 1.0f) {
    std::normal_distribution<float> normal(0, width);
    std::vector<float> v(n);
    for (float& x : v) x = normal(dice);
    return v;
}
