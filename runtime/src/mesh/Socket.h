// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Frames over TCP.
#pragma once

#include "../Status.h"

#include <optional>

namespace tsr::mesh {

struct Address {
  std::string host, port;
  std::string text() const { return host + ":" + port; }
};

enum class FrameKind : uint32_t { hello, exchange, note, gone, goodbye };

/// What travels: kind, sender and length, in the machine's byte order, and the bytes.
struct Frame {
  FrameKind kind;
  int32_t rank;
  std::string bytes;
};

/// A connection, or a place where they are made; closed with it.
class Socket {
public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor(descriptor) {}
  Socket(Socket &&other) noexcept;
  Socket &operator=(Socket &&other) noexcept;
  ~Socket();

  /// Throw Error (rendezvous).
  static Socket listenAt(const Address &address);
  /// Nothing where nobody listens there now.
  static std::optional<Socket> connectTo(const Address &address);
  Socket accept() const;

  /// False where the other end is gone. A frame is sent as a whole.
  bool send(const Frame &frame) noexcept;
  /// Takes in what has come; false where the other end is gone.
  bool receive();
  /// The next whole frame of what has come. Throws Error (rendezvous) for what is none.
  std::optional<Frame> next();
  bool isOpen() const { return descriptor >= 0; }

  int descriptor = -1;

private:
  std::string buffer; // that no frame was made of yet
};

} // namespace tsr::mesh
