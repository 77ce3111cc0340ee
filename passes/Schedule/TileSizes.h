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
  /// Tiles of rows that are read as columns have so many bytes along both sides instead; 0: they don't.
  int64_t transposedBytes;
  /// Rows of pieces that go together have at most so many elements.
  int64_t pieceRows;
  /// Reductions along outer dimensions.
  int64_t columnChunk;
  int64_t matmulRows, matmulColumns;
  /// A reduction of at least two chunks for one of fewer than `fewTiles` tiles is split into chunks: of what lies side
  /// by side, or of rows; 0: none is.
  int64_t reductionChunk, reductionRows, fewTiles;
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
                                        .transposedBytes = 0,
                                        .pieceRows = 4096,
                                        .columnChunk = 256,
                                        .matmulRows = 192,
                                        .matmulColumns = 128,
                                        .reductionChunk = 0,
                                        .reductionRows = 0,
                                        .fewTiles = 0,
                                        .queries = 192,
                                        .keys = 256};

/// A tile is for one block of threads: some vectors of 16 bytes for each, and shared memory for what it keeps. Tiles
/// are few if the multiprocessors of a large device have less than two each.
inline constexpr TileSizes kGpuTiles = {.chunk = 4096,
                                        .rowChunk = 4096,
                                        .transposedRows = 64,
                                        .transposedColumns = 0,
                                        .transposedBytes = 256,
                                        .pieceRows = 0,
                                        .columnChunk = 64,
                                        .matmulRows = 64,
                                        .matmulColumns = 64,
                                        .reductionChunk = 16384,
                                        .reductionRows = 512,
                                        .fewTiles = 264,
                                        .queries = 64,
                                        .keys = 64};

} // namespace tessera

#endif // TESSERA_PASSES_SCHEDULE_TILESIZES_H
