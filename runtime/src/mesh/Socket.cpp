// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Socket.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace tsr::mesh {

namespace {

struct Header {
  char magic[4];
  FrameKind kind;
  int32_t rank;
  uint32_t size;
};

constexpr char magic[4] = {'T', 'S', 'R', '1'};
constexpr uint32_t maxSize = 1 << 26; // of all ranks' notes

struct FreeInfo {
  void operator()(addrinfo *info) const { freeaddrinfo(info); }
};
using Info = std::unique_ptr<addrinfo, FreeInfo>;

Info resolve(const Address &address, int flags) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  const char *host = flags & AI_PASSIVE ? nullptr : address.host.c_str();
  if (const int problem = getaddrinfo(host, address.port.c_str(), &hints, &found))
    refuse(Code::rendezvous, address.text(), ": ", gai_strerror(problem));
  return Info(found);
}

Socket open(const addrinfo &info) {
  return Socket(socket(info.ai_family, info.ai_socktype | SOCK_CLOEXEC, info.ai_protocol));
}

void set(const Socket &socket, int level, int option, int value) {
  setsockopt(socket.descriptor, level, option, &value, sizeof value);
}

/// Messages are short and awaited; a peer whose machine is gone is to be noticed.
void setForMessages(const Socket &socket) {
  set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
}

} // namespace

Socket::Socket(Socket &&other) noexcept
    : descriptor(std::exchange(other.descriptor, -1)), buffer(std::move(other.buffer)) {}

Socket &Socket::operator=(Socket &&other) noexcept {
  std::swap(descriptor, other.descriptor);
  std::swap(buffer, other.buffer);
  return *this;
}

Socket::~Socket() {
  if (descriptor >= 0)
    close(descriptor);
}

Socket Socket::listenAt(const Address &address) {
  std::string problem = "no address to listen at";
  const Info all = resolve(address, AI_PASSIVE);
  for (const addrinfo *info = all.get(); info; info = info->ai_next) {
    Socket socket = open(*info);
    set(socket, SOL_SOCKET, SO_REUSEADDR, 1);
    if (info->ai_family == AF_INET6)
      set(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    else if (info->ai_next && info->ai_next->ai_family == AF_INET6)
      continue; // one of IPv6 takes both
    if (socket.isOpen() && bind(socket.descriptor, info->ai_addr, info->ai_addrlen) == 0 &&
        listen(socket.descriptor, SOMAXCONN) == 0)
      return socket;
    problem = std::strerror(errno);
  }
  refuse(Code::rendezvous, "rank 0 cannot listen at port ", address.port, ": ", problem,
         "; give another in TESSERA_COORDINATOR=host:port");
}

std::optional<Socket> Socket::connectTo(const Address &address) {
  const Info all = resolve(address, 0);
  for (const addrinfo *info = all.get(); info; info = info->ai_next) {
    Socket socket = open(*info);
    if (socket.isOpen() && connect(socket.descriptor, info->ai_addr, info->ai_addrlen) == 0) {
      setForMessages(socket);
      return socket;
    }
  }
  return std::nullopt;
}

Socket Socket::accept() const {
  Socket socket(accept4(descriptor, nullptr, nullptr, SOCK_CLOEXEC));
  setForMessages(socket);
  return socket;
}

bool Socket::send(const Frame &frame) noexcept {
  Header header{{}, frame.kind, frame.rank, static_cast<uint32_t>(frame.bytes.size())};
  std::memcpy(header.magic, magic, sizeof magic);
  iovec parts[2] = {{&header, sizeof header}, {const_cast<char *>(frame.bytes.data()), frame.bytes.size()}};
  for (iovec &part : parts)
    while (part.iov_len > 0) {
      const ssize_t sent = ::send(descriptor, part.iov_base, part.iov_len, MSG_NOSIGNAL);
      if (sent < 0 && errno != EINTR)
        return false;
      part.iov_base = static_cast<char *>(part.iov_base) + std::max<ssize_t>(sent, 0);
      part.iov_len -= static_cast<size_t>(std::max<ssize_t>(sent, 0));
    }
  return true;
}

bool Socket::receive() {
  char bytes[4096];
  for (;;) {
    const ssize_t count = recv(descriptor, bytes, sizeof bytes, MSG_DONTWAIT);
    if (count > 0)
      buffer.append(bytes, static_cast<size_t>(count));
    else if (count == 0 || (errno != EINTR && errno != EAGAIN))
      return false;
    else if (errno == EAGAIN)
      return true;
  }
}

std::optional<Frame> Socket::next() {
  Header header;
  if (buffer.size() < sizeof header)
    return std::nullopt;
  std::memcpy(&header, buffer.data(), sizeof header);
  if (std::memcmp(header.magic, magic, sizeof magic) || header.size > maxSize)
    refuse(Code::rendezvous, "what answers there is no rank of this program");
  if (buffer.size() < sizeof header + header.size)
    return std::nullopt;
  Frame frame{header.kind, header.rank, buffer.substr(sizeof header, header.size)};
  buffer.erase(0, sizeof header + header.size);
  return frame;
}

} // namespace tsr::mesh
