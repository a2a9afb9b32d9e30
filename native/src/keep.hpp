// Keys and values of a prompt's beginning in a file, for an engine that is opened later.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine.hpp"

namespace mirim {

// Names everything that the numbers depend on; a file with another one is of no use.
using Seal = std::array<uint8_t, 32>;

// Write the pages of the beginning of `tokens`, as far as they are whole, if they are all there; how many were written,
// otherwise 0. The file has its name only when it is whole and on the disk; nobody but its owner may read it.
// Throws std::runtime_error for what the disk does not do.
int save(Engine& engine, const std::vector<int>& tokens, const std::string& path, const Seal& seal);

// Make the pages in a file ready to be found; how many it holds. Throws std::runtime_error, with the reason, for a file
// that is torn, changed, of something else, not its owner's alone to write, or larger than what is kept: then nothing
// in the engine has changed.
int restore(Engine& engine, const std::string& path, const Seal& seal);

}  // namespace mirim
