// What the checks share.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../src/engine.hpp"

void check_engine();
void check_keep();
void check_encoder();

// check_engine.cpp: a model of two layers, a prompt of 40 to 129 tokens, and the answer to it, of which `cached` tells how
// many tokens of the prompt were there already.
std::unique_ptr<mirim::Model> random_model(int head = 16);
std::vector<int> prompt(int seed);
std::vector<int> answer(mirim::Engine& engine, int seed, int draft, int* cached = nullptr);

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
