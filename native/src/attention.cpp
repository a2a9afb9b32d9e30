// What tokens take of those before them: a step's attention in units of work, and their results joined in order.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "model.hpp"

namespace mirim {

namespace {

// Tokens of a sequence that attention takes together.
constexpr int TILE = 16;

}  // namespace

void Model::plan(const Token* tokens, int count, int parts) {
    const Config& c = config_;
    tiles_.clear();
    units_.clear();
    tile_of_.assign(count, 0);
    size_t base = 0;
    int last = 0, part = 1;
    const size_t wide = c.head_dim + 16;
    for (int t = 0; t < count;) {
        while (t >= count * part / parts) ++part;
        const int end = count * part / parts;
        int n = 1;
        while (t + n < end && n < TILE && tokens[t + n].pages == tokens[t].pages &&
               tokens[t + n].position == tokens[t].position + n && tokens[t + n].sight == tokens[t].sight)
            ++n;
        Tile tile{t, n, tokens[t].position, 1, base, tokens[t].sight};
        const int all = (tile.end() + PIECE - 1) / PIECE;
        // Few queries over a long context are split among threads by pieces; many are one unit of work, which joins
        // its pieces in the same order.
        bool split = n <= REPEATED;
        if (split) tile.pieces = all;
        base += size_t(tile.pieces) * c.heads * n * wide;
        for (int i = 0; i < n; ++i) tile_of_[t + i] = int(tiles_.size());
        for (int h = 0; h < c.kv_heads; ++h)
            for (int p = 0; p < (split ? all : 1); ++p) units_.push_back({int(tiles_.size()), h, split ? p : -1});
        tiles_.push_back(tile);
        last = std::max(last, tile.position + n - 1);
        t += n;
    }
    if (parts_.size() < base) parts_.resize(base);
    // Angles of positions that were never met before.
    const size_t pairs = c.frequencies.size(), turned = turned_;
    for (Turns& t : turns_)
        for (int position = int(t.cosines.size() / std::max<size_t>(turned, 1)); turned && position <= last; ++position) {
            t.cosines.resize(t.cosines.size() + turned, 1.0f);
            t.sines.resize(t.sines.size() + turned, 0.0f);
            float *cosine = &t.cosines[position * turned], *sine = &t.sines[position * turned];
            for (size_t i = 0; i < pairs; ++i) {
                // The angle rounded to a float, as transformers has it.
                const double angle = double(float(position) * t.frequencies[i]);
                const size_t a = c.neighbours ? 2 * i : i, b = c.neighbours ? a + 1 : a + pairs;
                cosine[a] = cosine[b] = float(std::cos(angle)) * t.gain;
                sine[b] = float(std::sin(angle)) * t.gain;
                sine[a] = -sine[b];
            }
        }
}

// Where the keys and values of a piece lie, null where its tokens end.
void Model::find_pages(const Token* tokens, int layer, const Unit& unit, int piece, const uint8_t** pages) const {
    const Tile& tile = tiles_[unit.tile];
    Token at = tokens[tile.first];
    for (int p = 0; p < PIECE / PAGE; ++p) {
        at.position = piece * PIECE + p * PAGE;
        pages[p] = at.position < tile.end() ? keys(at, layer, unit.head) : nullptr;
    }
}

void Model::attend(int layer, const Unit& unit, const Unit* next, const Token* tokens, int all) {
    const Config& c = config_;
    const Tile& tile = tiles_[unit.tile];
    const int group = c.heads / c.kv_heads, size = c.head_dim;
    const size_t wide = size + 16, per_piece = size_t(c.heads) * tile.count * wide;
    const int to = unit.piece < 0 ? (tile.end() + PIECE - 1) / PIECE : unit.piece + 1;
    // Pieces before what the first token sees are seen by none.
    const int from = std::max(unit.piece, begin_of_sight(layer, tile.position) / PIECE);
    const bool window = layers_[layer].window;
    const Inputs query{qs_.data(), q_bytes_.data(), q_scales_.data(), q_starts_.data(), cell().columns()};
    alignas(64) float spare[QUERIES][HEAD_MOST];
    const uint8_t *pages[PIECE / PAGE], *later[PIECE / PAGE];
    for (int piece = from; piece < to; ++piece) {
        const int start = piece * PIECE;
        find_pages(tokens, layer, unit, piece, pages);
        const bool follows =
            next && next->piece >= 0 && next->piece >= begin_of_sight(layer, tiles_[next->tile].position) / PIECE;
        if (follows) find_pages(tokens, layer, *next, next->piece, later);
        // Tokens before the piece's first see nothing of it, nor do those that see the last ones only.
        const int skip = tile.sight ? 0 : std::max(0, start - tile.position);
        int count = tile.count;
        while (window && begin_of_sight(layer, tile.position + count - 1) >= start + PIECE) --count;
        for (int q = skip * group; q < count * group; q += QUERIES) {
            const int n = std::min(QUERIES, count * group - q);
            int visible[QUERIES], hidden[QUERIES];
            float most[QUERIES], weight[QUERIES];
            float *out[QUERIES], *rows[QUERIES];
            int seen = 0;
            for (int i = 0; i < n; ++i) {
                int t = (q + i) / group, h = unit.head * group + (q + i) % group;
                visible[i] = std::min(PIECE, tile.end_of_sight(t) - start);
                const int begin = begin_of_sight(layer, tile.position + t);
                hidden[i] = std::max(0, begin - start);
                seen = std::max(seen, visible[i]);
                rows[i] = parts_.data() + tile.base + (unit.piece < 0 ? 0 : per_piece * unit.piece) +
                          (size_t(h) * tile.count + t) * wide;
                // A token's own first piece begins its sums.
                out[i] = unit.piece < 0 && piece > begin / PIECE ? spare[i] : rows[i];
            }
            kernels_->attend({query, (unit.head * all + tile.first) * group + q, pages, visible, window ? hidden : nullptr, n, seen,
                              cell(), most, weight, out, follows ? later : nullptr});
            for (int i = 0; i < n; ++i) {
                float* sums = rows[i] + size;
                if (out[i] == rows[i]) {
                    sums[0] = most[i];
                    sums[1] = weight[i];
                } else {
                    kernels_->join(sums, sums + 1, rows[i], most[i], weight[i], spare[i], size);
                }
            }
        }
    }
}

// A token's attention, all heads: its pieces joined in order.
void Model::gather(int layer, int token, float* out) const {
    const Config& c = config_;
    const Tile& tile = tiles_[tile_of_[token]];
    const int size = c.head_dim, t = token - tile.first;
    const size_t wide = size + 16, per_piece = size_t(c.heads) * tile.count * wide;
    const int pieces = tile.pieces == 1 ? 1 : (tile.end_of_sight(t) + PIECE - 1) / PIECE;
    const int first = tile.pieces == 1 ? 0 : begin_of_sight(layer, tile.position + t) / PIECE;
    for (int h = 0; h < c.heads; ++h) {
        const float* part = parts_.data() + tile.base + per_piece * first + (size_t(h) * tile.count + t) * wide;
        float *o = out + size_t(h) * size, most = part[size], weight = part[size + 1];
        std::memcpy(o, part, sizeof(float) * size);
        for (int p = 1; p < pieces - first; ++p) {
            const float* next = part + per_piece * p;
            kernels_->join(&most, &weight, o, next[size], next[size + 1], next, size);
        }
        kernels_->divide(o, weight, size);
    }
}

}  // namespace mirim
