// Weights from a GGUF file's layout into blocks of rows (kernels.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "kernels.hpp"

namespace mirim {

// What a file that does not fit is refused with.
inline std::runtime_error wrong(const std::string& what) { return std::runtime_error(what); }

// ggml's numbers of the types that are read here; others are turned into floats before.
enum class Source : int { f32 = 0, f16 = 1, q4_0 = 2, q8_0 = 8, bf16 = 30 };

// Bytes of a row of `columns`; 0 for a type that is not read or columns that do not divide into its blocks.
size_t row_bytes(Source type, int columns);
// The kind that holds this type without loss.
Kind natural(Source type);
// Fill `out` (of to.step() a block) from `rows` rows. Every `head` rows begin a new block when `head` is not 0.
// `to.rows` counts the rows that this leaves empty.
void pack(const Matrix& to, uint8_t* out, Source type, const uint8_t* from, int rows, int head);
// Row `row` of a packed matrix as floats.
void unpack_row(const Matrix& from, int row, float* out);

}  // namespace mirim
