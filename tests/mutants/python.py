"""Mutations of Python: conditions, comparisons, constants, calls, results."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutants.mutation import Edit
from tests.mutants.statements import edits_of_sql

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
}
# Calls that only tell a person something, and marks for tests of crashes.
SILENT = ("log.", "fault_point")


class Finder(ast.NodeVisitor):
    """Collects the edits of one source file."""

    def __init__(self, source: str) -> None:
        self.edits: list[Edit] = []
        self._source = source
        lines = source.splitlines(keepends=True)
        self._lines = [line.encode() for line in lines]
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line))
        self._is_in_function = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outside, self._is_in_function = self._is_in_function, True
        for part in (*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body):
            self.visit(part)
        self._is_in_function = outside

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in node.body:
            self.visit(part)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self._condition(node.test)
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        if not isinstance(node.test, ast.Constant):
            self._edit(node.test, "False", "condition")
        self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Leave it: an assertion narrows a type."""

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        now = " or " if isinstance(node.op, ast.And) else " and "
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(left, right, now.strip(), "boolean")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._edit(node, f"({self._text(node.operand)})", "negation")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for operator, left, right in zip(node.ops, operands, operands[1:], strict=False):
            self._between(left, right, COMPARISONS[type(operator)][1], "comparison")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in ARITHMETIC and not isinstance(node.left, ast.JoinedStr):
            self._between(node.left, node.right, ARITHMETIC[type(node.op)][1], "arithmetic")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value and not isinstance(node.value, ast.Constant):
            self._edit(node.value, "None", "result")
            self.visit(node.value)
        elif node.value:
            self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node.value, ast.Call):
            if self._text(node).startswith(SILENT):
                return
            self._edit(node, "pass", "call")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._edit(node, "pass", "raise")
        # What an error says is for people.

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type:
            self._edit(node.type, "ZeroDivisionError", "handler")
        for part in node.body:
            self.visit(part)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._sql(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._edit(node, str(not node.value), "constant")
        elif type(node.value) is int and self._is_in_function:
            self._edit(node, str(node.value + 1), "constant")
        elif isinstance(node.value, str):
            self._sql(node)

    def _condition(self, test: ast.expr) -> None:
        for now in ("True", "False"):
            self._edit(test, now, "condition")

    def _sql(self, node: ast.expr) -> None:
        self.edits.extend(edits_of_sql(self._text(node), self._start(node)))

    def _between(self, left: ast.expr, right: ast.expr, now: str, kind: str) -> None:
        """Replace the operator between two operands, and leave parentheses around them."""
        start, end = self._end(left), self._start(right)
        gap = self._source[start:end]
        operator = gap.strip(" \n\t()\\")
        at = gap.find(operator)
        if operator and "#" not in gap:
            self.edits.append(
                Edit(start=start + at, end=start + at + len(operator), now=now, kind=kind)
            )

    def _edit(self, node: ast.stmt | ast.expr, now: str, kind: str) -> None:
        self.edits.append(Edit(start=self._start(node), end=self._end(node), now=now, kind=kind))

    def _text(self, node: ast.stmt | ast.expr) -> str:
        return self._source[self._start(node) : self._end(node)]

    def _start(self, node: ast.stmt | ast.expr) -> int:
        return self._offset(node.lineno, node.col_offset)

    def _end(self, node: ast.stmt | ast.expr) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line: int, column: int) -> int:
        """Return the offset in characters; Python counts columns in bytes."""
        return self._starts[line - 1] + len(self._lines[line - 1][:column].decode())


def edits_of_source(source: str) -> Iterator[Edit]:
    """Yield every edit of a source file that still compiles."""
    finder = Finder(source)
    finder.visit(ast.parse(source))
    for edit in finder.edits:
        try:
            compile(source[: edit.start] + edit.now + source[edit.end :], "mutant", "exec")
        except SyntaxError:
            continue
        yield edit
