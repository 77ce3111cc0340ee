// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Manifest.h"

#include "Json.h"

namespace tsr {

namespace {

constexpr int64_t formatVersion = 1;
constexpr size_t maxSymbols = 1024; // a call keeps them on its stack

struct ExprParser {
  const std::vector<Symbol> &symbols;
  std::vector<SizeExpr::Op> code;

  struct Part {
    std::string spelling;
    unsigned stack; // slots that its evaluation needs
  };

  Part parse(const Json &json) {
    if (json.isInteger()) {
      int64_t number = json.integer(INT64_MIN);
      code.push_back({SizeExpr::constant, number});
      return {std::to_string(number), 1};
    }
    if (json.isString())
      return parseSymbol(json);
    return parseOperation(json);
  }

  Part parseSymbol(const Json &json) {
    std::string name = json.string();
    for (size_t i = 0; i < symbols.size(); ++i)
      if (symbols[i].name == name) {
        code.push_back({SizeExpr::symbol, static_cast<int64_t>(i)});
        return {symbols[i].isAnonymous() ? "?" : name, 1};
      }
    json.refuse("unknown symbol '", name, "'");
  }

  Part parseOperation(const Json &json) {
    static const std::pair<const char *, SizeExpr::Kind> kinds[] = {
        {"+", SizeExpr::add}, {"-", SizeExpr::sub},   {"*", SizeExpr::mul},  {"//", SizeExpr::floorDiv},
        {"%", SizeExpr::mod}, {"max", SizeExpr::max}, {"min", SizeExpr::min}};
    std::string name;
    std::vector<Part> parts;
    json.forEachElement([&](const Json &element) {
      if (name.empty())
        name = element.string();
      else if (parts.size() < 2)
        parts.push_back(parse(element));
      else
        element.refuse("expected two operands");
    });
    for (auto [spelling, kind] : kinds)
      if (name == spelling && parts.size() == 2) {
        code.push_back({kind, 0});
        unsigned stack = std::max(parts[0].stack, parts[1].stack + 1);
        if (stack > SizeExpr::maxStack)
          json.refuse("expression is nested too deep");
        bool call = name == "max" || name == "min";
        return {call ? text(name, "(", parts[0].spelling, ", ", parts[1].spelling, ")")
                     : text("(", parts[0].spelling, " ", name, " ", parts[1].spelling, ")"),
                stack};
      }
    json.refuse("expected an integer, a symbol or [operator, left, right]");
  }
};

SizeExpr parseExpr(const Json &json, const std::vector<Symbol> &symbols) {
  ExprParser parser{symbols, {}};
  ExprParser::Part part = parser.parse(json);
  if (part.spelling[0] == '(') // the outermost parentheses say nothing
    part.spelling = part.spelling.substr(1, part.spelling.size() - 2);
  return SizeExpr(std::move(parser.code), std::move(part.spelling));
}

tsr_dtype parseDtype(const Json &json) {
  std::string name = json.string();
  std::optional<tsr_dtype> known = dtypeOfName(name);
  if (!known)
    json.refuse("unknown dtype '", name, "'");
  return *known;
}

Value parseValue(const Json &json, const std::vector<Symbol> &symbols) {
  Value value;
  value.name = json.stringOr("name");
  value.source = json.stringOr("source");
  value.dtype = parseDtype(json.at("dtype"));
  std::string kind = json.stringOr("kind");
  value.isWeight = kind == "weight";
  if (!kind.empty() && kind != "argument" && kind != "weight")
    json.at("kind").refuse("expected 'argument' or 'weight', got '", kind, "'");
  value.isDonated = json.boolOr("donated", false);
  json.at("shape").forEachElement([&](const Json &size) {
    SizeExpr expr = parseExpr(size, symbols);
    if (expr.isConstant() && expr.value() < 0)
      size.refuse("expected a size of 0 or more");
    value.staticShape.push_back(expr.isConstant() ? expr.value() : int64_t(TSR_DYNAMIC));
    value.shape.push_back({expr.isConstant() ? Dim::fixed : Dim::computed, std::move(expr)});
  });
  if (value.shape.size() > TSR_MAX_RANK)
    json.at("shape").refuse("expected a rank of at most ", TSR_MAX_RANK);
  return value;
}

/// Which argument an output is: a donated one of its type.
int32_t parseAlias(const Json &output, const Signature &signature) {
  Json alias = output.at("alias");
  int64_t index = alias.integer(0);
  if (index >= static_cast<int64_t>(signature.arguments.size()))
    alias.refuse("expected one of ", signature.arguments.size(), " arguments, got ", index);
  const Value &argument = signature.inputs[static_cast<size_t>(signature.arguments[static_cast<size_t>(index)])];
  if (!argument.isDonated || dtypeName(argument.dtype) != output.at("dtype").string())
    alias.refuse("expected a donated argument of the output's dtype, got '", argument.name, "'");
  return static_cast<int32_t>(index);
}

/// Finds symbols that no input has whole: a part of one, of which there is a known number, tells the whole as well.
void bindByQuotients(Signature &signature) {
  for (size_t input = 0; input < signature.inputs.size(); ++input)
    for (size_t i = 0; i < signature.inputs[input].shape.size(); ++i) {
      Dim &dim = signature.inputs[input].shape[i];
      const std::vector<SizeExpr::Op> &ops = dim.size.ops();
      if (ops.size() != 3 || ops[0].kind != SizeExpr::symbol || ops[1].kind != SizeExpr::constant ||
          ops[2].kind != SizeExpr::floorDiv)
        continue;
      Symbol &symbol = signature.symbols[static_cast<size_t>(ops[0].value)];
      if (symbol.input >= 0 || ops[1].value <= 0 || symbol.multipleOf % ops[1].value != 0)
        continue;
      dim.role = Dim::binds, dim.factor = ops[1].value;
      symbol.input = static_cast<int32_t>(input), symbol.dim = static_cast<int32_t>(i);
    }
}

/// A symbol's first bare occurrence among the inputs binds it; the others, and every expression, are checked.
void assignRoles(Signature &signature, const Json &json) {
  for (size_t input = 0; input < signature.inputs.size(); ++input) {
    std::vector<Dim> &shape = signature.inputs[input].shape;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (!shape[i].size.isSymbol())
        continue;
      Symbol &symbol = signature.symbols[static_cast<size_t>(shape[i].size.value())];
      shape[i].role = symbol.input < 0 ? Dim::binds : Dim::repeats;
      if (symbol.input < 0)
        symbol.input = static_cast<int32_t>(input), symbol.dim = static_cast<int32_t>(i);
    }
  }
  bindByQuotients(signature);
  for (const Symbol &symbol : signature.symbols)
    if (symbol.input < 0)
      json.refuse("symbol '", symbol.name, "' is no input's size on its own, so that no call gives it a value");
}

Symbol parseSymbol(const Json &json) {
  Symbol symbol;
  symbol.name = json.at("name").string();
  if (symbol.name.empty())
    json.refuse("a symbol needs a name");
  if (json.has("min"))
    symbol.min = json.at("min").integer(0);
  if (json.has("max"))
    symbol.max = json.at("max").integer(symbol.min);
  if (json.has("multiple_of"))
    symbol.multipleOf = json.at("multiple_of").integer(1);
  return symbol;
}

Signature parseSignature(const std::string &name, const Json &json) {
  Signature signature;
  signature.entry = name;
  json.at("symbols").forEachElement([&](const Json &symbol) { signature.symbols.push_back(parseSymbol(symbol)); });
  if (signature.symbols.size() > maxSymbols)
    json.at("symbols").refuse("expected at most ", maxSymbols, " symbols");
  json.at("inputs").forEachElement([&](const Json &input) {
    signature.inputs.push_back(parseValue(input, signature.symbols));
    if (!signature.inputs.back().isWeight)
      signature.arguments.push_back(static_cast<int32_t>(signature.inputs.size() - 1));
  });
  json.at("outputs").forEachElement(
      [&](const Json &output) { signature.outputs.push_back(parseValue(output, signature.symbols)); });
  json.at("outputs").forEachElement([&, index = size_t(0)](const Json &output) mutable {
    if (output.has("alias"))
      signature.outputs[index].alias = parseAlias(output, signature);
    ++index;
  });
  if (json.has("guards"))
    json.at("guards").forEachElement([&](const Json &guard) {
      signature.guards.push_back({parseExpr(guard.at("left"), signature.symbols),
                                  parseExpr(guard.at("right"), signature.symbols), guard.stringOr("message"),
                                  guard.stringOr("source")});
    });
  assignRoles(signature, json);
  return signature;
}

/// "sm_" and digits, the last of which is the minor number, with or without a suffix.
Architecture parseArchitecture(const Json &json) {
  Architecture result;
  result.name = json.string();
  std::string digits = result.name;
  if (!digits.empty() && (digits.back() == 'a' || digits.back() == 'f')) {
    result.suffix = digits.back();
    digits.pop_back();
  }
  digits = digits.substr(0, 3) == "sm_" ? digits.substr(3) : "";
  if (digits.size() < 2 || digits.size() > 4 || digits.find_first_not_of("0123456789") != std::string::npos)
    json.refuse("expected an architecture such as sm_90a, got '", result.name, "'");
  const int32_t number = std::stoi(digits);
  result.major = number / 10, result.minor = number % 10;
  return result;
}

Kernel parseKernel(const Json &json) {
  constexpr int64_t maxThreads = 1024, maxCluster = 16, maxShared = 1 << 20; // beyond any device
  Kernel kernel;
  kernel.name = json.at("name").string();
  kernel.threads = static_cast<int32_t>(json.at("threads").integer(1, maxThreads));
  if (json.has("cluster"))
    kernel.cluster = static_cast<int32_t>(json.at("cluster").integer(1, maxCluster));
  if (json.has("dynamic_shared"))
    kernel.dynamicShared = json.at("dynamic_shared").integer(0, maxShared);
  kernel.isProgrammatic = json.boolOr("pdl", false);
  return kernel;
}

std::shared_ptr<const Module> parseModule(const std::string &name, const Json &json) {
  auto module = std::make_shared<Module>();
  module->name = name;
  module->architecture = parseArchitecture(json.at("arch"));
  module->cubin = json.stringOr("cubin");
  module->ptx = json.stringOr("ptx");
  json.at("kernels").forEachElement([&](const Json &kernel) { module->kernels.push_back(parseKernel(kernel)); });
  if (!module->holdsCode() && module->ptx.empty())
    json.refuse("expected a cubin or PTX for its kernels");
  return module;
}

ComputedValue parseComputedValue(const Json &json) {
  std::string source;
  json.at("source").forEachElement([&](const Json &line) { source += (source.empty() ? "" : ", ") + line.string(); });
  return {json.at("kernel").string(), source, parseDtype(json.at("dtype")),
          static_cast<int32_t>(json.at("rank").integer(0, TSR_MAX_RANK)), json.at("result").integer(0) == 0};
}

Variant parseVariant(const Json &json, const Manifest &manifest) {
  Variant variant{json.at("target").string(),
                  json.at("triple").string(),
                  json.at("object").string(),
                  json.at("symbol").string(),
                  json.stringOr("workspace"),
                  {},
                  nullptr,
                  {},
                  json.boolOr("allow_infinity", false)};
  if (json.has("values"))
    json.at("values").forEachElement([&](const Json &value) { variant.values.push_back(parseComputedValue(value)); });
  if (json.has("features"))
    json.at("features").forEachElement([&](const Json &name) { variant.features.push_back(name.string()); });
  if (json.has("module")) {
    auto found = manifest.modules.find(json.at("module").string());
    if (found == manifest.modules.end())
      json.at("module").refuse("unknown module '", json.at("module").string(), "'");
    variant.module = found->second;
  }
  return variant;
}

void checkVersions(const Json &manifest) {
  int64_t format = manifest.at("format").integer(0), abi = manifest.at("abi").integer(0);
  if (format != formatVersion)
    refuse(Code::format_version, "artifact format: expected version ", formatVersion, ", got ", format,
           format > formatVersion ? "; a newer Tessera wrote it: update the runtime" : "; compile it again");
  if (abi > TSR_ABI_VERSION || abi < 1)
    refuse(Code::abi_version, "artifact ABI: expected version 1 to ", TSR_ABI_VERSION, ", got ", abi,
           "; update the runtime");
}

} // namespace

Manifest parseManifest(Bytes bytes) {
  boost::json::value document = Json::parse(bytes, "manifest.json", Code::manifest_json);
  Json json(document, "manifest.json", Code::manifest);
  checkVersions(json);
  Manifest manifest;
  json.at("members").forEachMember([&](const std::string &name, const Json &member) {
    manifest.members[name] = {member.at("sha256").string(), static_cast<uint64_t>(member.at("size").integer(0))};
  });
  if (json.has("modules"))
    json.at("modules").forEachMember(
        [&](const std::string &name, const Json &module) { manifest.modules[name] = parseModule(name, module); });
  json.at("entries").forEachMember([&](const std::string &name, const Json &entry) {
    EntryManifest parsed{parseSignature(name, entry), {}, mesh::parseLayout(entry)};
    entry.at("variants").forEachElement([&](const Json &variant) {
      parsed.variants.push_back(parseVariant(variant, manifest));
    });
    if (parsed.mesh)
      entry.at("inputs").forEachElement([&, index = size_t(0)](const Json &input) mutable {
        if (input.has("sharding"))
          parsed.signature.inputs[index].sharding = mesh::parseSharding(input, *parsed.mesh);
        ++index;
      });
    manifest.entries.push_back(std::move(parsed));
  });
  return manifest;
}

} // namespace tsr
