"""Pictures of the catalog: as Mermaid text for markdown, as DOT for graphviz, which draws the SVG.

How graphviz lays a picture out depends on its release and the fonts it finds. So an SVG names the
DOT it was made from, by its hash: whether it is up to date can be told without graphviz.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from jobsdb.errors import Exit, JobsdbError
from jobsdb.learn.catalog import Catalog, Move, Relation
from jobsdb.learn.explain import EVENTS

MARK = "<!-- Made by `jobsdb docs` from DOT "
_MADE_FROM = re.compile(re.escape(MARK) + r"([0-9a-f]{64}) -->")
_STYLE = (
    'graph [bgcolor="white", fontname="Helvetica", fontsize=11, nodesep=0.25, ranksep=0.5]',
    'node [shape=box, style="rounded,filled", fillcolor="#f4f6f8", color="#8a94a0",'
    ' fontname="Helvetica", fontsize=11]',
    'edge [color="#5b6570", fontname="Helvetica", fontsize=9]',
)
_COLOURS = {"start": "#dde7f3", "end": "#e3efe0", "before": "#fdf3d8", "after": "#e8eef9"}
_IDS = {"job_id": "public.jobs", "task_id": "public.job_tasks", "send_id": "jobsdb.sends"}
"""What columns of these names refer to, with a foreign key or, where history stays, without."""


@dataclass
class Picture:
    """Boxes and arrows; `kinds` colours some of the boxes."""

    name: str
    title: str
    mermaid: str
    direction: str
    boxes: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    arrows: list[tuple[str, str, str]] = field(default_factory=list)
    dashed: set[tuple[str, str, str]] = field(default_factory=set)

    @property
    def file(self) -> str:
        """Where the SVG stands in the reference."""
        return f"pictures/{self.name}.svg"

    @property
    def dot(self) -> str:
        """The picture as graphviz reads it."""
        boxes = (
            f"{_quoted(key)} [label={_quoted(label)}"
            + (f', fillcolor="{_COLOURS[self.kinds[key]]}"]' if key in self.kinds else "]")
            for key, label in self.boxes.items()
        )
        arrows = (
            f"{_quoted(arrow[0])} -> {_quoted(arrow[1])} [label={_quoted(arrow[2])}"
            + (", style=dashed]" if arrow in self.dashed else "]")
            for arrow in self.arrows
        )
        lines = (f"rankdir={self.direction}", *_STYLE, *boxes, *arrows)
        return f"digraph {_quoted(self.title)} {{\n" + "".join(f"  {x};\n" for x in lines) + "}\n"

    @property
    def digest(self) -> str:
        """What an SVG of it has to name."""
        return hashlib.sha256(self.dot.encode()).hexdigest()

    def is_drawn(self, svg: str) -> bool:
        """Whether an SVG shows the picture as it is now."""
        return _MADE_FROM.findall(svg) == [self.digest]

    def svg(self) -> str:
        """The picture, drawn. Errors: JobsdbError without graphviz."""
        if shutil.which("dot") is None:
            raise JobsdbError(
                f"{self.file} has to be drawn anew, and graphviz is not here",
                code=Exit.NO,
                hint="Install it: apt-get install graphviz",
            )
        done = subprocess.run(
            ["dot", "-Tsvg"], input=self.dot, capture_output=True, text=True, check=True
        )
        drawn = re.sub(r"<!--.*?-->\n?", "", done.stdout[done.stdout.index("<svg") :], flags=re.S)
        return f"{MARK}{self.digest} -->\n{drawn}"


def pictures(catalog: Catalog) -> Iterator[Picture]:
    """All of them."""
    yield entities(catalog)
    for entity in dict.fromkeys(move.entity for move in catalog.moves):
        yield machine(entity, [move for move in catalog.moves if move.entity == entity])
    for relation in catalog.relations:
        if relation.triggers:
            yield timeline(relation)


def entities(catalog: Catalog) -> Picture:
    """Tables, the foreign keys between them, and what is kept without one (dashed)."""
    lines = ["erDiagram"]
    picture = Picture("entities", "Tables and what joins them", "", "LR")
    for child in (each for each in catalog.relations if each.kind == "table"):
        for parent, columns, is_key in _references(child):
            line = "--" if is_key else ".."
            lines.append(f'  {parent.partition(".")[2]} ||{line}o{{ {child.name} : "{columns}"')
            picture.arrows.append((child.full_name, parent, ""))
            if not is_key:
                picture.dashed.add(picture.arrows[-1])
            for name in (parent, child.full_name):
                picture.boxes[name] = name
                if name.startswith("public."):
                    picture.kinds[name] = "start"
    picture.mermaid = "\n".join(lines)
    return picture


def _references(table: Relation) -> Iterator[tuple[str, str, bool]]:
    """The tables a table refers to, by which columns, and whether a foreign key says so."""
    keyed = set()
    for key in table.constraints:
        if key.refers_to:
            columns = re.findall(r"\((.*?)\)", key.definition)[0]
            keyed.update(columns.split(", "))
            yield key.refers_to, columns, True
    for column in table.columns:
        if column.name in _IDS and column.name not in keyed:
            yield _IDS[column.name], column.name, False


def machine(entity: str, moves: list[Move]) -> Picture:
    """The states of a job, task or card."""
    lines = ["stateDiagram-v2"]
    picture = Picture(f"states-{entity}", f"States of a {entity}", "", "LR")
    states = list(dict.fromkeys(move.to_status for move in moves))
    final = [state for state in states if all(move.from_status != state for move in moves)]
    for move in moves:
        label = re.sub("[;:]", ",", move.meaning)  # either would end what Mermaid reads as a label
        lines.append(f"  {move.from_status or '[*]'} --> {move.to_status}: {label}")
        picture.boxes[move.to_status] = move.to_status
        if move.from_status:
            picture.arrows.append((move.from_status, move.to_status, move.meaning))
        else:
            picture.kinds[move.to_status] = "start"
    for state in final:
        lines.append(f"  {state} --> [*]")
        picture.kinds[state] = "end"
    picture.mermaid = "\n".join(lines)
    return picture


def timeline(relation: Relation) -> Picture:
    """What fires when a row changes: a line for each event, from left to right."""
    picture = Picture(f"triggers-{relation.name}", f"Triggers of {relation.full_name}", "", "LR")
    lines: list[str] = []
    for event in reversed(EVENTS):  # graphviz begins below
        fired = [trigger for trigger in relation.triggers if event in trigger.events]
        if not fired:
            continue
        row = [event, *(f"{event}_{trigger.name}" for trigger in fired)]
        picture.boxes[event] = event
        picture.kinds[event] = "start"
        for key, trigger in zip(row[1:], fired, strict=True):
            picture.boxes[key] = f"{trigger.name}\n{trigger.moment}"
            picture.kinds[key] = "before" if trigger.moment.startswith("before") else "after"
        picture.arrows += [(one, other, "") for one, other in pairwise(row)]
        boxes = (f'  {key}["{picture.boxes[key]}"]'.replace("\n", "<br/>") for key in row)
        lines = [*boxes, "  " + " --> ".join(row), *lines]
    picture.mermaid = "\n".join(["flowchart LR", *lines])
    return picture


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
