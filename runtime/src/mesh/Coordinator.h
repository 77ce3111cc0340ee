// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The thread of rank 0 that all ranks are connected to.
#pragma once

#include "Socket.h"

#include <vector>

namespace tsr::mesh {

class Coordinator {
public:
  /// Starts the thread, which runs until the process ends. Throws Error (rendezvous).
  static void start(const Address &address, int32_t size);

private:
  struct Member {
    Socket socket;
    std::optional<std::string> offered; // of the exchange that is going on
    bool hasLeft = false;
  };
  Coordinator(Socket listener, int32_t size) : listener(std::move(listener)), members(static_cast<size_t>(size)) {}
  void run();
  void admit();
  void read(size_t rank);
  void lose(size_t rank);
  void tell(const Frame &frame, int32_t but);

  Socket listener;
  std::vector<Socket> strangers; // that have not said who they are
  std::vector<Member> members;   // by rank
};

} // namespace tsr::mesh
