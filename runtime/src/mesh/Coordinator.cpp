// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Coordinator.h"

#include "Waiting.h"

#include <algorithm>
#include <poll.h>

namespace tsr::mesh {

void Coordinator::start(const Address &address, int32_t size) {
  auto *coordinator = new Coordinator(Socket::listenAt(address), size);
  quietThread([coordinator] { coordinator->run(); }).detach();
}

void Coordinator::run() {
  for (;;) {
    std::vector<pollfd> wanted{{listener.descriptor, POLLIN, 0}};
    for (const Socket &stranger : strangers)
      wanted.push_back({stranger.descriptor, POLLIN, 0});
    for (const Member &member : members)
      wanted.push_back({member.socket.descriptor, POLLIN, 0}); // one without a socket is passed over
    poll(wanted.data(), wanted.size(), -1);
    const size_t firstMember = 1 + strangers.size();
    for (size_t rank = 0; rank < members.size(); ++rank)
      if (wanted[firstMember + rank].revents)
        read(rank);
    if (wanted[0].revents)
      strangers.push_back(listener.accept());
    admit();
  }
}

/// Those who say that they are a rank, and one that is not there yet. Others are sent away.
void Coordinator::admit() {
  for (Socket &stranger : strangers) {
    bool isWelcome = stranger.isOpen() && stranger.receive();
    try {
      if (std::optional<Frame> hello = isWelcome ? stranger.next() : std::nullopt) {
        const size_t rank = static_cast<size_t>(hello->rank);
        isWelcome = hello->kind == FrameKind::hello && rank < members.size() && !members[rank].socket.isOpen() &&
                    hello->bytes == std::to_string(members.size());
        if (isWelcome) {
          members[rank].socket = std::move(stranger);
          members[rank].socket.send({FrameKind::hello, 0, {}});
          continue;
        }
      }
    } catch (const Error &) { // another program
      isWelcome = false;
    }
    if (!isWelcome)
      stranger = Socket();
  }
  strangers.erase(std::remove_if(strangers.begin(), strangers.end(), [](const Socket &s) { return !s.isOpen(); }),
                  strangers.end());
}

void Coordinator::read(size_t rank) {
  Member &member = members[rank];
  const bool isThere = member.socket.receive();
  try {
    while (std::optional<Frame> frame = member.socket.next()) {
      if (frame->kind == FrameKind::exchange)
        member.offered = std::move(frame->bytes);
      else if (frame->kind == FrameKind::note)
        tell(*frame, static_cast<int32_t>(rank));
      else if (frame->kind == FrameKind::goodbye)
        member.hasLeft = true;
    }
  } catch (const Error &) { // no frame: it is as good as gone
    return lose(rank);
  }
  if (!isThere)
    return lose(rank);
  if (!std::all_of(members.begin(), members.end(), [](const Member &m) { return m.offered.has_value(); }))
    return;
  Frame all{FrameKind::exchange, 0, {}};
  for (Member &each : members) {
    all.bytes += *each.offered;
    each.offered.reset();
  }
  tell(all, -1);
}

void Coordinator::lose(size_t rank) {
  members[rank].socket = Socket();
  if (!members[rank].hasLeft)
    tell({FrameKind::gone, static_cast<int32_t>(rank), {}}, -1);
}

void Coordinator::tell(const Frame &frame, int32_t but) {
  for (size_t rank = 0; rank < members.size(); ++rank)
    if (members[rank].socket.isOpen() && static_cast<int32_t>(rank) != but)
      members[rank].socket.send(frame);
}

} // namespace tsr::mesh
