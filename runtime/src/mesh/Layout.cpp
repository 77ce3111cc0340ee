// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Layout.h"

#include <algorithm>

namespace tsr::mesh {

namespace {

template <class Value> struct Word {
  const char *name;
  Value value;
};

constexpr Word<Kind> kinds[] = {{"all_reduce", Kind::allReduce},         {"all_gather", Kind::allGather},
                                {"reduce_scatter", Kind::reduceScatter}, {"all_to_all", Kind::allToAll},
                                {"broadcast", Kind::broadcast},          {"shift", Kind::shift}};
constexpr Word<Reduction> reductions[] = {
    {"sum", Reduction::sum}, {"max", Reduction::max}, {"min", Reduction::min}, {"prod", Reduction::prod}};

template <class Value, size_t N> Value choose(const Json &json, const Word<Value> (&words)[N]) {
  const std::string name = json.string();
  std::string known;
  for (const Word<Value> &word : words) {
    if (name == word.name)
      return word.value;
    known += text(known.empty() ? "" : ", ", word.name);
  }
  json.refuse("expected one of ", known, ", got '", name, "'");
}

bool isReducible(tsr_dtype dtype) { return dtype.code != TSR_FLOAT8_E4M3FN && dtype.code != TSR_FLOAT8_E5M2; }

std::string axesText(const Layout &layout, const std::vector<size_t> &axes) {
  std::string names;
  for (size_t axis : axes)
    names += text(names.empty() ? "" : ", ", "'", layout.axes[axis], "'");
  return text(axes.size() == 1 ? "axis " : "axes ", names);
}

std::vector<size_t> parseAxes(const Json &json, const Layout &layout) {
  std::vector<size_t> axes;
  json.forEachElement([&](const Json &axis) {
    const auto found = std::find(layout.axes.begin(), layout.axes.end(), axis.string());
    const size_t index = static_cast<size_t>(found - layout.axes.begin());
    if (found == layout.axes.end() || std::count(axes.begin(), axes.end(), index))
      axis.refuse("expected axes of the mesh, each once, got '", axis.string(), "'");
    axes.push_back(index);
  });
  return axes;
}

Collective parseCollective(const Json &json, const Layout &layout) {
  Collective result;
  result.kind = choose(json.at("kind"), kinds);
  result.axes = parseAxes(json.at("axes"), layout);
  if (result.axes.empty())
    json.at("axes").refuse("expected an axis");
  const std::string dtype = json.at("dtype").string();
  std::optional<tsr_dtype> known = dtypeOfName(dtype);
  if (!known)
    json.at("dtype").refuse("unknown dtype '", dtype, "'");
  result.dtype = *known;
  std::string what = json.at("kind").string();
  if (result.kind == Kind::allReduce || result.kind == Kind::reduceScatter) {
    result.reduction = choose(json.at("op"), reductions);
    what += text("(", json.at("op").string(), ")");
    if (!isReducible(result.dtype))
      json.at("dtype").refuse("ranks do not reduce ", dtype, ": expected a wider dtype");
  }
  int64_t members = 1;
  for (size_t axis : result.axes)
    members *= layout.shape[axis];
  if (result.kind == Kind::broadcast)
    result.root = static_cast<int32_t>(json.at("root").integer(0, members - 1));
  if (result.kind == Kind::shift) {
    result.offset = json.at("offset").integer(INT32_MIN, INT32_MAX);
    result.isPeriodic = json.boolOr("periodic", true);
  }
  const std::string source = json.stringOr("source");
  result.label = text(what, " over ", axesText(layout, result.axes), source.empty() ? "" : " at ", source);
  return result;
}

Layout parseMesh(const Json &json) {
  constexpr int64_t maxRanks = 1 << 20;
  Layout layout;
  int64_t size = 1;
  json.at("shape").forEachElement([&](const Json &axis) {
    layout.shape.push_back(axis.integer(1, maxRanks));
    size *= layout.shape.back();
    if (size > maxRanks)
      axis.refuse("expected at most ", maxRanks, " ranks");
  });
  json.at("axes").forEachElement([&](const Json &name) { layout.axes.push_back(name.string()); });
  json.at("devices").forEachElement(
      [&](const Json &rank) { layout.ranks.push_back(static_cast<int32_t>(rank.integer(0, size - 1))); });
  if (layout.axes.size() != layout.shape.size())
    json.at("axes").refuse("expected a name for each of ", layout.shape.size(), " axes, got ", layout.axes.size());
  std::vector<int32_t> sorted = layout.ranks;
  std::sort(sorted.begin(), sorted.end());
  const bool anyTwice = std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end();
  if (anyTwice || sorted.size() != static_cast<size_t>(size))
    json.at("devices").refuse("expected each rank from 0 to ", size - 1, " once");
  return layout;
}

} // namespace

std::vector<int64_t> Layout::coordinates(int32_t rank) const {
  int64_t place = std::find(ranks.begin(), ranks.end(), rank) - ranks.begin();
  std::vector<int64_t> result(shape.size());
  for (size_t axis = shape.size(); axis-- > 0; place /= shape[axis])
    result[axis] = place % shape[axis];
  return result;
}

Members Layout::group(const std::vector<size_t> &along, int32_t rank) const {
  std::vector<int64_t> at = coordinates(rank);
  for (size_t axis : along)
    at[axis] = 0;
  Members members{};
  for (bool isDone = false; !isDone;) {
    int64_t place = 0;
    for (size_t axis = 0; axis < shape.size(); ++axis)
      place = place * shape[axis] + at[axis];
    const int32_t member = ranks[static_cast<size_t>(place)];
    if (member == rank)
      members.place = members.ranks.size();
    members.ranks.push_back(member);
    isDone = true; // unless an axis can be stepped along
    for (size_t i = along.size(); isDone && i-- > 0;) {
      int64_t &coordinate = at[along[i]];
      isDone = ++coordinate == shape[along[i]];
      if (isDone)
        coordinate = 0;
    }
  }
  return members;
}

std::vector<std::vector<size_t>> parseSharding(const Json &value, const Layout &layout) {
  std::vector<std::vector<size_t>> sharding;
  value.at("sharding").forEachElement([&](const Json &axes) { sharding.push_back(parseAxes(axes, layout)); });
  size_t rank = 0;
  value.at("shape").forEachElement([&](const Json &) { ++rank; });
  if (sharding.size() != rank)
    value.at("sharding").refuse("expected axes for each of ", rank, " dimensions, got ", sharding.size());
  return sharding;
}

std::optional<Layout> parseLayout(const Json &entry) {
  std::optional<Layout> layout;
  if (entry.has("mesh"))
    layout = parseMesh(entry.at("mesh"));
  if (entry.has("collectives"))
    entry.at("collectives").forEachElement([&](const Json &collective) {
      if (!layout)
        collective.refuse("the entry has no mesh");
      layout->collectives.push_back(parseCollective(collective, *layout));
    });
  return layout;
}

} // namespace tsr::mesh
