// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef TESSERA_PASSES_SCHEDULE_TILESIZES_H
#define TESSERA_PASSES_SCHEDULE_TILESIZES_H

#include <cstdint>

namespace tessera {

/// Elements of tiles, by the kind of kernel; 0: a dimension is not divided.
struct TileSizes {
  /// Elementwise kernels: of one dimension, of rows, and of rows that are read as columns.
  int64_t chunk, rowChunk, transposedRows, transposedColumns;
  /// Rows of pieces that go together have at most so many elements.
  int64_t pieceRows;
  /// Reductions along outer dimensions.
  int64_t columnChunk;
  int64_t matmulRows, matmulColumns;
  /// Attention: queries of a tile, and keys that it meets at a time.
  int64_t queries, keys;
};

/// A chunk is long enough that starting it costs little beside it. Rows that are read as columns go together, several
/// vectors of them, so that each cache line is read once. The matmul tile keeps its accumulator (96 KiB in f32) and the
/// rows of A for one block of K (256 * 192 * 4 bytes) in a second-level cache of 1 MiB; rows are a multiple of the
/// micro-kernel's 6 and 8. So do the scores of an attention's tile (192 KiB in f32), and keys and values that were
/// packed for it are used by all of its rows.
inline constexpr TileSizes kCpuTiles = {.chunk = 4096,
                                        .rowChunk = 0,
                                        .transposedRows = 64,
                                        .transposedColumns = 0,
                                        .pieceRows = 4096,
                                        .columnChunk = 256,
                                        .matmulRows = 192,
                                        .matmulColumns = 128,
                                        .queries = 192,
                                        .keys = 256};

/// A tile is for one block of threads: some vectors of 16 bytes for each, and shared memory for what it keeps.
inline constexpr TileSizes kGpuTiles = {.chunk = 4096,
                                        .rowChunk = 4096,
                                        .transposedRows = 64,
                                        .transposedColumns = 64,
                                        .pieceRows = 0,
                                        .columnChunk = 64,
                                        .matmulRows = 64,
                                        .matmulColumns = 64,
                                        .queries = 64,
                                        .keys = 64};

} // namespace tessera

#endif // TESSERA_PASSES_SCHEDULE_TILESIZES_H
