"""Translates PTX, as LLVM writes it, to C for the driver beside it: translate.py IN.ptx OUT.c

Of PTX's instructions those that moue's kernels and burn's plain ones are made of; any other is an error that names it. A
register is an integer variable of its width, and a kernel a function of one thread.
"""

import re
import sys
from functools import partialmethod

FLOATS = {"f16": 16, "f32": 32, "f64": 64}
SPECIAL = ("%tid", "%ctaid", "%ntid", "%nctaid")
COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
OPERATORS = {"add": "+", "sub": "-", "and": "&", "or": "|", "xor": "^"}
EXTREMES = {"min": "<", "max": ">"}
ROUNDED = {"rni": "nearbyint", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}
FUNCTIONS = {"sqrt": "sqrt", "ex2": "exp2", "lg2": "log2", "sin": "sin", "cos": "cos", "tanh": "tanh"}
# Of one thread's view: memory is in order here, and nothing is fetched ahead.
NOTHING = ("membar", "fence", "prefetch", "discard")


def width(kind):
    return 1 if kind == "pred" else int(re.search(r"\d+", kind)[0])


def bits(kind):
    """The type of the bits that a register holds."""
    return f"b{width(kind)}" if kind in FLOATS else kind


def c_type(kind):
    return "uint8_t" if kind == "pred" else f"{'' if kind[0] == 's' else 'u'}int{width(kind)}_t"


def split(text):
    """Operands at commas that are in no brackets."""
    found, depth, current = [], 0, ""
    for character in text:
        depth += (character in "{[(") - (character in "}])")
        if character == "," and depth == 0:
            found.append(current.strip())
            current = ""
        else:
            current += character
    return found + [current.strip()] if current.strip() else found


class Module:
    """What all functions of a file share: where names of shared memory begin."""

    def __init__(self, text):
        self.shared, self.size = {}, 0
        for align, name, size in re.findall(r"\.shared\s+\.align\s+(\d+)\s+\.b8\s+(\w+)\[(\d+)\]", text):
            self.size = -(-self.size // int(align)) * int(align)
            self.shared[name] = self.size
            self.size += int(size)
        # What a launch asks for lies behind.
        for name in re.findall(r"^\.extern \.shared .*?(\w+)\[\];", text, re.M):
            self.size = -(-self.size // 128) * 128
            self.shared[name] = self.size


class Function:
    """A kernel, whose parameters have offsets, or a function, whose parameters are C's."""

    def __init__(self, module, parameters, result=None):
        self.module, self.parameters, self.result = module, parameters, result
        self.variables, self.declared, self.waits = set(), [], False

    # Operands

    @staticmethod
    def name(register):
        return register.lstrip("%").replace("$", "label_")

    def value(self, operand, kind):
        """An operand as an expression of C."""
        if re.match(r"0[fd][0-9A-F]+$", operand):
            literal = f"0x{operand[2:]}{'u' if operand[1] == 'f' else 'ull'}"
            return f"{kind}({literal})" if kind in FLOATS else literal
        if operand.startswith("%"):
            base, _, axis = operand.partition(".")
            if base in SPECIAL:
                return f"t->{base[1:]}[{'xyz'.index(axis)}]"
            if operand == "%laneid":
                return "(t->linear & 31)"
            name = self.name(operand)
            return f"{kind}({name})" if kind in FLOATS else name if kind == "pred" else f"({c_type(kind)}){name}"
        if re.match(r"-?(0x)?[0-9A-Fa-f]+U?$", operand):
            return f"({c_type(kind)}){operand}"
        if operand in self.module.shared:
            return f"({c_type(kind)}){self.module.shared[operand]}"
        if operand in self.variables:
            return f"(uint64_t)(uintptr_t){operand}"
        if self.parameters.get(operand) is not None:
            return f"(uint64_t)(uintptr_t)(t->param + {self.parameters[operand]})"
        raise SystemExit(f"what is the operand {operand}?")

    def assign(self, register, kind, expression):
        if register == "_":
            return ""
        if kind in FLOATS:
            return f"{self.name(register)} = bits_{kind}({expression});"
        return f"{self.name(register)} = " + (f"!!({expression});" if kind == "pred" else f"({c_type(kind)})({expression});")

    def address(self, space, operand):
        base, offset = re.match(r"\[(.+?)(?:\+(-?\d+))?\]$", operand).groups(default="0")
        if space == "param" and not base.startswith("%"):
            if base in self.variables or base == self.result or self.parameters[base] is None:
                return f"((char *)&{base} + {offset})"
            return f"(t->param + {self.parameters[base] + int(offset)})"
        place = f"{self.value(base, 'u64')} + {offset}"
        return f"(t->shared + (uint32_t)({place}))" if space == "shared" else f"((char *)(uintptr_t)({place}))"

    # Instructions

    def instruction(self, text):
        guard = re.match(r"@(!?)(%\w+)\s+(.*)", text)
        if guard:
            return f"if ({guard[1]}{self.name(guard[2])}) {{ {self.instruction(guard[3])} }}"
        code, *rest = text.split(None, 1)
        base, *modifiers = code.split(".")
        operands = split(rest[0]) if rest else []
        if base in NOTHING:
            return ";"
        method = getattr(self, f"do_{base}", None)
        if method is None:
            raise SystemExit(f"what does {text} do?")
        return method(modifiers, operands)

    def simple(self, modifiers, operands, expression):
        """An expression of the operands, all of the last modifier's type."""
        kind = modifiers[-1]
        return self.assign(operands[0], kind, expression(*(self.value(one, kind) for one in operands[1:])))

    def do_mov(self, modifiers, operands):
        kind, (to, source) = modifiers[-1], operands
        if to.startswith("{"):
            parts = split(to[1:-1])
            each, whole = width(kind) // len(parts), self.value(source, kind)
            return " ".join(self.assign(part, f"b{each}", f"{whole} >> {i * each}") for i, part in enumerate(parts))
        if source.startswith("{"):
            parts = split(source[1:-1])
            each = width(kind) // len(parts)
            shifted = (f"({c_type(kind)}){self.value(part, f'b{each}')} << {i * each}" for i, part in enumerate(parts))
            return self.assign(to, kind, " | ".join(f"({one})" for one in shifted))
        return self.assign(to, kind, self.value(source, kind))

    def access(self, modifiers, registers, memory):
        kind = modifiers[-1]
        space = next((one for one in modifiers if one in ("global", "shared", "param", "local")), "generic")
        registers = split(registers[1:-1]) if registers.startswith("{") else [registers]
        size, address = width(kind) // 8 * len(registers), self.address(space, memory)
        return kind, registers, size, address, "" if space == "param" else f"ALIGNED({address}, {size});"

    def do_ld(self, modifiers, operands):
        kind, registers, size, address, check = self.access(modifiers, *operands)
        # All is read before a register changes: the address may be in one of them.
        taken = " ".join(f"{self.name(one)} = v[{i}];" for i, one in enumerate(registers) if one != "_")
        return f"{{ {check} {c_type(kind)} v[{len(registers)}]; memcpy(v, {address}, {size}); {taken} }}"

    def do_st(self, modifiers, operands):
        kind, registers, size, address, check = self.access(modifiers, operands[1], operands[0])
        given = ", ".join(self.value(one, bits(kind)) for one in registers)
        return f"{{ {check} {c_type(kind)} v[] = {{ {given} }}; memcpy({address}, v, {size}); }}"

    def operator(self, base, modifiers, operands):
        return self.simple(modifiers, operands, lambda a, b: f"{a} {OPERATORS[base]} {b}")

    def product(self, modifiers, operands):
        """An integer product, its type, and the type of what is added to it."""
        kind = modifiers[-1]
        a, b = (self.value(one, kind) for one in operands[1:3])
        if "hi" in modifiers:
            return kind, f"high_{kind}({a}, {b})"
        wide = f"{kind[0]}{2 * width(kind)}" if "wide" in modifiers else f"u{max(width(kind), 32)}"
        return wide if "wide" in modifiers else kind, f"({c_type(wide)}){a} * ({c_type(wide)}){b}"

    def do_mul(self, modifiers, operands):
        if modifiers[-1] in FLOATS:
            return self.simple(modifiers, operands, lambda a, b: f"{a} * {b}")
        return self.assign(operands[0], *self.product(modifiers, operands))

    def do_mad(self, modifiers, operands):
        kind, product = self.product(modifiers, operands)
        return self.assign(operands[0], kind, f"{product} + {self.value(operands[3], kind)}")

    def do_fma(self, modifiers, operands):
        names = {("rn", "f32"): "fmaf", ("rn", "f64"): "fma", ("rm", "f32"): "fma_rm_f32"}
        function = names[modifiers[0], modifiers[-1]]
        return self.simple(modifiers, operands, lambda a, b, c: f"{function}({a}, {b}, {c})")

    def do_div(self, modifiers, operands):
        kind = modifiers[-1]
        if kind in FLOATS:
            return self.simple(modifiers, operands, lambda a, b: f"{a} / {b}")
        return self.simple(modifiers, operands, lambda a, b: f"({b} ? {a} / {b} : ({c_type(kind)})-1)")

    def do_rem(self, modifiers, operands):
        return self.simple(modifiers, operands, lambda a, b: f"({b} ? {a} % {b} : {a})")

    def extreme(self, base, modifiers, operands):
        kind, sign = modifiers[-1], EXTREMES[base]
        if kind in FLOATS:
            function = f"{base}{'_nan' if 'NaN' in modifiers else ''}_{kind}"
            return self.simple(modifiers, operands, lambda a, b: f"{function}({a}, {b})")
        return self.simple(modifiers, operands, lambda a, b: f"({a} {sign} {b} ? {a} : {b})")

    def do_not(self, modifiers, operands):
        return self.simple(modifiers, operands, lambda a: f"{'!' if modifiers[-1] == 'pred' else '~'}{a}")

    def do_neg(self, modifiers, operands):
        return self.simple(modifiers, operands, lambda a: f"-{a}")

    def do_abs(self, modifiers, operands):
        function = {"f32": "fabsf", "f64": "fabs"}.get(modifiers[-1], "llabs")
        return self.simple(modifiers, operands, lambda a: f"{function}({a})")

    def do_shl(self, modifiers, operands):
        kind, by = modifiers[-1], self.value(operands[2], "u32")
        return self.assign(operands[0], kind, f"({by} >= {width(kind)} ? 0 : {self.value(operands[1], kind)} << {by})")

    def do_shr(self, modifiers, operands):
        kind, by = modifiers[-1], self.value(operands[2], "u32")
        value, most = self.value(operands[1], kind), width(kind)
        shifted = f"{value} >> ({by} < {most} ? {by} : {most - 1})" if kind[0] == "s" else f"({by} < {most} ? {value} >> {by} : 0)"
        return self.assign(operands[0], kind, shifted)

    def do_bfe(self, modifiers, operands):
        at, length = (self.value(one, "u32") for one in operands[2:])
        value = self.value(operands[1], modifiers[-1])
        return self.assign(operands[0], modifiers[-1], f"field_{modifiers[-1]}({value}, {at}, {length})")

    def do_prmt(self, modifiers, operands):
        return self.simple(modifiers, operands, lambda a, b, selection: f"permuted({a}, {b}, {selection})")

    def do_selp(self, modifiers, operands):
        kind = bits(modifiers[-1])
        yes, no = (self.value(one, kind) for one in operands[1:3])
        return self.assign(operands[0], kind, f"{self.value(operands[3], 'pred')} ? {yes} : {no}")

    def do_setp(self, modifiers, operands):
        kind, how = modifiers[-1], modifiers[0]
        a, b = (self.value(one, kind) for one in operands[1:3])
        if kind not in FLOATS:
            answer = f"({a} {COMPARED[how]} {b})"
        else:
            unordered = f"(NAN_({a}) || NAN_({b}))"
            if how in ("num", "nan"):
                answer = f"{'!' if how == 'num' else ''}{unordered}"
            elif how in COMPARED:
                answer = f"(!{unordered} && {a} {COMPARED[how]} {b})"
            else:
                answer = f"({unordered} || {a} {COMPARED[how[:-1]]} {b})"
        if modifiers[1] in OPERATORS:
            answer = f"({answer} {OPERATORS[modifiers[1]]} {self.value(operands[3], 'pred')})"
        to, *opposite = operands[0].split("|")
        return self.assign(to, "pred", answer) + "".join(self.assign(one, "pred", f"!{answer}") for one in opposite)

    def do_cvt(self, modifiers, operands):
        to, source = modifiers[-2:]
        value = self.value(operands[1], source)
        how = next((ROUNDED[one] for one in modifiers if one in ROUNDED), None)
        if source in FLOATS and to in FLOATS:
            value = f"{how}({value})" if how else value
            return self.assign(operands[0], to, f"saturated({value})" if "sat" in modifiers else value)
        if source in FLOATS:
            return self.assign(operands[0], to, f"to_{to}({how}({value}))")
        # A register may be wider than its type, and takes the sign along.
        return f"{self.name(operands[0])} = " + (f"bits_{to}({value});" if to in FLOATS else f"({c_type(to)}){value};")

    def function(self, base, modifiers, operands):
        suffix = "f" if modifiers[-1] == "f32" else ""
        return self.simple(modifiers, operands, lambda a: f"{FUNCTIONS[base]}{suffix}({a})")

    def do_rcp(self, modifiers, operands):
        return self.simple(modifiers, operands, lambda a: f"1 / {a}")

    def do_rsqrt(self, modifiers, operands):
        return self.simple(modifiers, operands, lambda a: f"1 / sqrt({a})")

    def do_copysign(self, modifiers, operands):
        return self.simple(modifiers, operands, lambda sign, a: f"copysign({a}, {sign})")

    def do_atom(self, modifiers, operands):
        """Adds where no other thread is, for one runs at a time."""
        kind, (to, memory, more) = modifiers[-1], operands
        if "add" not in modifiers:
            raise SystemExit(f"what does atom.{'.'.join(modifiers)} do?")
        space = next((one for one in modifiers if one in ("global", "shared")), "generic")
        held, address = c_type(bits(kind)), self.address(space, memory)
        old = f"{kind}(v)" if kind in FLOATS else f"({held})v"
        total = f"{old} + {self.value(more, kind)}"
        new = f"bits_{kind}({total})" if kind in FLOATS else total
        return f"{{ {held} v, w; memcpy(&v, {address}, sizeof v); w = {new}; memcpy({address}, &w, sizeof w); {self.name(to)} = v; }}"

    def do_bra(self, _, operands):
        return f"goto {self.name(operands[0])};"

    def do_ret(self, *_):
        return f"return {self.result or ''};"

    def do_bar(self, modifiers, operands):
        if operands != ["0"]:
            raise SystemExit(f"a barrier of some threads: {modifiers} {operands}")
        self.waits = True
        return "t->barrier(t);"

    def do_shfl(self, modifiers, operands):
        self.waits = True
        to, *inside = operands[0].split("|")
        value, lane, clamp = (self.value(one, "b32") for one in operands[1:4])
        call = f"t->shuffle(t, {value}, {lane}, {clamp}, '{modifiers[1][0]}', &inside)"
        return f"{{ uint32_t inside; {self.name(to)} = {call}; " + "".join(f"{self.name(one)} = inside;" for one in inside) + " }"

    def do_vote(self, modifiers, operands):
        self.waits = True
        yes = self.value(operands[1], "pred")
        answer = {"ballot": f"t->ballot(t, {yes})", "any": f"t->ballot(t, {yes}) != 0", "all": f"t->ballot(t, !{yes}) == 0"}
        return self.assign(operands[0], modifiers[-1], answer[modifiers[1]])

    def do_activemask(self, _, operands):
        self.waits = True
        return self.assign(operands[0], "b32", "t->ballot(t, 1)")

    def do_call(self, _, operands):
        result, function, arguments = operands
        return f"{result[1:-1]} = {function}({', '.join(['t', *split(arguments[1:-1])])});"

    def statement(self, text):
        registers = re.match(r"\.reg\s+\.(\w+)\s+%(\w+)<(\d+)>$", text)
        if registers:
            names = ", ".join(f"{registers[2]}{i} = 0" for i in range(int(registers[3])))
            self.declared.append(f"{c_type(registers[1])} {names};")
            return ""
        argument = re.match(r"\.param\s+\.(\w+)\s+(\w+)$", text)
        if argument:
            self.variables.add(argument[2])
            return f"{c_type(argument[1])} {argument[2]} = 0;"
        local = re.match(r"\.local\s+\.align\s+(\d+)\s+\.b8\s+(\w+)\[(\d+)\]$", text)
        if local:
            self.variables.add(local[2])
            self.declared.append(f"char {local[2]}[{local[3]}] __attribute__((aligned({local[1]})));")
            return ""
        if re.match(r"\.shared|\.pragma|\.loc", text):
            return ""
        if text.startswith("."):
            raise SystemExit(f"what does {text} say?")
        return self.instruction(text)

    def body(self, text):
        """The statements in C, declarations first."""
        statements = []
        text = re.sub(r"//.*", "", text)
        for piece in re.findall(r"\$\w+:|[{}](?=\s)|[^;{}$\s](?:\{[^}]*\}|[^;{}])*;|[^;\s][^;]*;", text):
            if piece.startswith("$"):
                statements.append(f"{self.name(piece[:-1])}:;")
            elif piece in "{}":
                statements.append(piece)
            else:
                statements.append(self.statement(piece[:-1].strip()))
        return self.declared + statements


# What differs by its name alone.
for alike, method in ((OPERATORS, Function.operator), (EXTREMES, Function.extreme), (FUNCTIONS, Function.function)):
    for operation in alike:
        setattr(Function, f"do_{operation}", partialmethod(method, operation))

FUNCTION = re.compile(
    r"^\.(?:visible |weak )?\.?(entry|func)\s+(?:\(\s*\.param\s+\.(\w+)\s+(\w+)\s*\)\s*)?(\w+)\s*\((.*?)\)(.*?)^\{\n(.*?)^\}", re.M | re.S
)


def entry(module, name, parameters, body):
    """A kernel as a function of a thread, and what the driver has to know of it."""
    end, places = 0, {}
    for parameter in parameters:
        own, length = re.search(r"(\w+)(?:\[(\d+)\])?$", parameter).groups()
        size = int(length) if length else width(re.search(r"\.([bufs]\d+)\b", parameter)[1]) // 8
        align = re.match(r"\.param \.align (\d+)", parameter)
        align = int(align[1]) if align else size
        start = -(-end // align) * align
        places[own], end = (start, size), start + size
    function = Function(module, {own: start for own, (start, _) in places.items()})
    statements = function.body(body)
    starts, sizes = ([place[i] for place in places.values()] for i in (0, 1))
    numbers = lambda values: "{ " + (", ".join(map(str, values)) or "0") + " }"
    about = f"run_{name}, {int(function.waits)}, {len(places)}, {numbers(starts)}, {numbers(sizes)}, {module.size}"
    return [f"static void run_{name}(struct thread *t) {{", *statements, "}", f"const struct kernel kernel_{name} = {{ {about} }};"]


def main(source, target):
    with open(source) as file:
        text = file.read()
    module, declarations, definitions = Module(text), [], []
    for kind, result_kind, result, name, parameters, _, body in FUNCTION.findall(text):
        parameters = split(parameters)
        if kind == "entry":
            definitions += entry(module, name, parameters, body)
            continue
        arguments = {one.split()[-1]: one.split()[-2].lstrip(".") for one in parameters}
        function = Function(module, dict.fromkeys(arguments), result)
        listed = "".join(f", {c_type(own)} {argument}" for argument, own in arguments.items())
        head = f"static {c_type(result_kind)} {name}(struct thread *t{listed})"
        declarations.append(f"{head};")
        definitions += [f"{head} {{ {c_type(result_kind)} {result} = 0;", *function.body(body), "}"]
    with open(target, "w") as file:
        file.write("\n".join(['#include "ptx.h"', *declarations, *definitions, ""]))


if __name__ == "__main__":
    main(*sys.argv[1:])
