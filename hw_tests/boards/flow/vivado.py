# SPDX-License-Identifier: Apache-2.0
# Longer than 300 lines: one class with a short method for each command of Vivado.
"""A stub of Vivado: answers the commands of a flow from what `vivado_facts` knows, records them,
and refuses every name, value or order that it does not know.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from pathlib import Path

from hw_tests.boards.flow.block_design import BlockDesign
from hw_tests.boards.flow.packaged import Interface, module_interfaces, module_ports
from hw_tests.boards.flow.tcl import TclError
from hw_tests.boards.flow.vivado_facts import COMMANDS, PROPERTIES, VERSIONS

__all__ = ["Project", "Vivado"]

Options = dict[str, str]


@dataclass
class Project:
    """A project: where it is, its files by file set, its properties and those of its file set."""

    name: str
    folder: Path
    part: str
    files: dict[str, list[Path]] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    top: str = ""


class Vivado:
    """A session.

    version; boards: board parts that it has files of; infers: whether the packager makes memory
    maps and address spaces by itself; pll_mhz: of which pl_clk0 is divided; slack; progress: of the
    implementation.

    calls: every command with its options and words. said: lines of `puts`. packaged: interfaces of
    the IP, with its properties, maps, blocks and spaces. design: the block design.
    """

    def __init__(
        self,
        *,
        version: str = VERSIONS[1],
        boards: tuple[str, ...] = (
            "xilinx.com:zcu102:part0:3.4",
            "xilinx.com:kv260_som:part0:1.3",
            "xilinx.com:kv260_som:part0:1.4",
        ),
        infers: bool = True,
        pll_mhz: float = 1499.985,
        slack: str = "0.123",
        progress: str = "100%",
    ) -> None:
        self.version, self.boards, self.infers = version, boards, infers
        self.pll_mhz, self.slack, self.progress = pll_mhz, slack, progress
        self.calls: list[tuple[str, Options, list[str]]] = []
        self.said: list[str] = []
        self.project: Project | None = None
        self.projects: list[Project] = []
        self.packaged: dict[str, Interface] = {}
        self.core: dict[str, str] = {}
        self.package_root: Path | None = None
        self.saved = False
        self.catalog = False
        self.design: BlockDesign | None = None
        self.run: dict[str, str] = {}
        self.opened = False
        self.properties: dict[str, dict[str, str]] = {}

    def answer(self, words: list[str]) -> str:
        """The result of a command; TclError if it is not one."""
        name = words[0].removeprefix("::")
        if name not in COMMANDS:
            raise TclError(f'invalid command name "{words[0]}"')
        command = COMMANDS[name]
        options: Options = {}
        rest: list[str] = []
        pending = iter(words[1:])
        for word in pending:
            if word.startswith("-") and not rest:
                if word not in command.options:
                    raise TclError(f"{name} has no option {word}")
                values = command.options[word]
                value = "" if values == () else next(pending, "")
                if values and value not in values:
                    raise TclError(f"{name} {word} cannot be {value}")
                options[word] = value
            elif word in command.options:  # Vivado takes options in any place
                options[word] = "" if command.options[word] == () else next(pending, "")
            else:
                rest.append(word)
        low, high = command.words
        if not low <= len(rest) <= high:
            raise TclError(f"{name} takes {low} to {high} words, not {len(rest)}: {rest}")
        self.calls.append((name, options, rest))
        return getattr(self, f"_{name.replace('::', '_')}")(options, rest) or ""

    def _open(self) -> Project:
        if self.project is None:
            raise TclError("there is no open project")
        return self.project

    def _drawn(self) -> BlockDesign:
        if self.design is None:
            raise TclError("there is no block design")
        return self.design

    @staticmethod
    def named(handle: str, *kinds: str) -> str:
        """The name of an object of one of these kinds."""
        kind, _, name = handle.partition("@")
        if kind not in kinds or not name:
            raise TclError(f"{handle!r} is no {' or '.join(kinds)}")
        return name

    # project

    def _puts(self, _: Options, words: list[str]) -> None:
        self.said.append(words[0])

    def _version(self, options: Options, _: list[str]) -> str:
        return self.version if "-short" in options else f"Vivado v{self.version}"

    def _create_project(self, options: Options, words: list[str]) -> None:
        if self.project is not None:
            raise TclError("a project is open already")
        self.project = Project(words[0], Path(words[1]), options["-part"])
        self.projects.append(self.project)

    def _close_project(self, _: Options, __: list[str]) -> None:
        self._open()
        self.project = None

    def _current_project(self, _: Options, __: list[str]) -> str:
        return f"project@{self._open().name}"

    def _current_fileset(self, _: Options, __: list[str]) -> str:
        self._open()
        return "fileset@sources_1"

    def _current_design(self, _: Options, __: list[str]) -> str:
        return "design@design"

    def _add_files(self, options: Options, words: list[str]) -> None:
        for file in words[0].split():
            if not Path(file).is_file():
                raise TclError(f"there is no file {file}")
            files = self._open().files.setdefault(options.get("-fileset", "sources_1"), [])
            files.append(Path(file))

    def _update_compile_order(self, _: Options, __: list[str]) -> None:
        self._open()

    def _get_board_parts(self, _: Options, words: list[str]) -> str:
        return max((part for part in self.boards if fnmatch.fnmatch(part, words[0])), default="")

    def _update_ip_catalog(self, _: Options, __: list[str]) -> None:
        path = self._open().properties.get("ip_repo_paths", "")
        self.catalog = self.saved and self.package_root == Path(path)

    def _get_files(self, _: Options, words: list[str]) -> str:
        if words[0] != f"{self._drawn().name}.bd" or not self._drawn().saved:
            raise TclError(f"there is no file {words[0]}")
        return f"file@{words[0]}"

    def _get_runs(self, _: Options, words: list[str]) -> str:
        if words[0] != "impl_1":
            raise TclError(f"there is no run {words[0]}")
        return "run@impl_1"

    def _get_ports(self, _: Options, words: list[str]) -> str:
        if words[0] not in self._drawn().ports:
            raise TclError(f"the design has no port {words[0]}")
        return f"port@{words[0]}"

    # properties

    def _set_property(self, options: Options, words: list[str]) -> None:
        if "-dict" in options:
            values = words[0].split()
            pairs = list(zip(values[::2], values[1::2], strict=True))
        else:
            pairs = [(words[0], words[1])]
        handle = words[-1]
        kind, _, name = handle.partition("@")
        for key, value in pairs:
            if kind == "cell":
                self._drawn().configure(name, key, value, self.pll_mhz)
                continue
            if kind not in PROPERTIES or key not in PROPERTIES[kind]:
                raise TclError(f"{handle!r} has no property {key}")
            legal = PROPERTIES[kind][key]
            if legal is not None and value not in legal:
                raise TclError(f"{key} cannot be {value!r}")
            self._keep(kind, name, key, value)

    def _keep(self, kind: str, name: str, key: str, value: str) -> None:
        if kind == "project":
            if key == "board_part" and value not in self.boards:
                raise TclError(f"there is no board {value}")
            self._open().properties[key] = value
        elif kind == "fileset":
            texts = "".join(path.read_text() for path in self._open().files["sources_1"])
            module_ports(texts, value)
            self._open().top = value
        elif kind == "core":
            self.core[key] = value
        elif kind == "run":
            self.run[key] = value
        else:
            self.properties.setdefault(f"{kind}@{name}", {})[key] = value

    def _get_property(self, _: Options, words: list[str]) -> str:
        key, handle = words
        kind, name = handle.split("@")
        if kind == "cell":
            return self._drawn().parameter(name, key)
        if kind not in PROPERTIES or key not in PROPERTIES[kind]:
            raise TclError(f"{handle!r} has no property {key}")
        project = self._open()
        values = {
            "SLACK": self.slack,
            "PROGRESS": self.progress,
            "STATUS": "write_bitstream Complete!" if self.progress == "100%" else "route failed",
            "DIRECTORY": f"{project.folder}/{project.name}.runs/{name}",
        }
        return values[key]

    # packager

    def _ipx_package_project(self, options: Options, _: list[str]) -> None:
        project = self._open()
        texts = "".join(path.read_text() for path in project.files["sources_1"])
        self.packaged = module_interfaces(texts, project.top)
        self.core = {
            "name": project.top,
            "vendor": options["-vendor"],
            "library": options["-library"],
        }
        self.package_root = Path(options["-root_dir"])
        if self.infers:
            for name, interface in self.packaged.items():
                if interface.kind == "aximm":
                    kind = "space" if interface.master else "map"
                    self.properties[f"{kind}@{name}"] = {}
                    if kind == "map":
                        self.properties["block@reg0"] = {}

    def _ipx_current_core(self, _: Options, __: list[str]) -> str:
        if not self.core:
            raise TclError("no core is open")
        return f"core@{self.core['name']}"

    def _found(self, kind: str, name: str, of: str, *kinds: str) -> str:
        self.named(of, *kinds)
        return f"{kind}@{name}" if f"{kind}@{name}" in self.properties else ""

    def _ipx_get_bus_interfaces(self, options: Options, words: list[str]) -> str:
        self.named(options["-of_objects"], "core")
        return f"bus@{words[0]}" if words[0] in self.packaged else ""

    def _ipx_get_memory_maps(self, options: Options, words: list[str]) -> str:
        return self._found("map", words[0], options["-of_objects"], "core")

    def _ipx_get_address_blocks(self, options: Options, words: list[str]) -> str:
        return self._found("block", words[0], options["-of_objects"], "map")

    def _ipx_get_address_spaces(self, options: Options, words: list[str]) -> str:
        return self._found("space", words[0], options["-of_objects"], "core")

    def _added(self, kind: str, words: list[str], of: str) -> str:
        self.named(words[1], of)
        handle = f"{kind}@{words[0]}"
        if handle in self.properties:
            raise TclError(f"there is a {kind} {words[0]} already")
        self.properties[handle] = {}
        return handle

    def _ipx_add_memory_map(self, _: Options, words: list[str]) -> str:
        return self._added("map", words, "core")

    def _ipx_add_address_block(self, _: Options, words: list[str]) -> str:
        return self._added("block", words, "map")

    def _ipx_add_address_space(self, _: Options, words: list[str]) -> str:
        return self._added("space", words, "core")

    def _ipx_create_xgui_files(self, _: Options, words: list[str]) -> None:
        self.named(words[0], "core")

    _ipx_update_checksums = _ipx_create_xgui_files

    def _ipx_check_integrity(self, _: Options, words: list[str]) -> None:
        self.named(words[0], "core")
        for name, interface in self.packaged.items():
            if interface.kind != "aximm":
                continue
            kind = "space" if interface.master else "map"
            reference = "master_address_space_ref" if interface.master else "slave_memory_map_ref"
            if f"{kind}@{name}" not in self.properties:
                raise TclError(f"{name} has no {kind}")
            if not self.infers and self.properties[f"bus@{name}"].get(reference) != name:
                raise TclError(f"{name} has no {reference}")

    def _ipx_save_core(self, _: Options, words: list[str]) -> None:
        self.named(words[0], "core")
        self.saved = True

    # runs

    def _make_wrapper(self, options: Options, _: list[str]) -> str:
        self.named(options["-files"], "file")
        design = self._drawn()
        path = self._open().folder / f"{design.name}_wrapper.v"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"module {design.name}_wrapper (\n);\nendmodule\n")
        return str(path)

    def _launch_runs(self, options: Options, words: list[str]) -> None:
        project = self._open()
        if project.top != f"{self._drawn().name}_wrapper":
            raise TclError(f"the top module is {project.top!r}")
        if words != ["impl_1"] or int(options["-jobs"]) < 1:
            raise TclError("there is no such run")
        folder = project.folder / f"{project.name}.runs" / "impl_1"
        folder.mkdir(parents=True)
        (folder / f"{project.top}.bit").write_text("bits")

    def _wait_on_run(self, _: Options, words: list[str]) -> None:
        if words != ["impl_1"]:
            raise TclError(f"there is no run {words[0]}")

    def _open_run(self, _: Options, words: list[str]) -> None:
        self._wait_on_run({}, words)
        self.opened = True

    def _report(self, options: Options, _: list[str]) -> None:
        if not self.opened:
            raise TclError("no design is open")
        Path(options["-file"]).write_text("report")

    _report_timing_summary = _report_utilization = _report_ram_utilization = _report
    _report_control_sets = _report_high_fanout_nets = _report_clock_utilization = _report
    _report_cdc = _report_methodology = _report_drc = _report_power = _report

    def _read_saif(self, options: Options, words: list[str]) -> None:
        self._report({"-file": options["-out_file"]}, [])
        if not Path(words[0]).is_file():
            raise TclError(f"there is no file {words[0]}")

    def _get_timing_paths(self, _: Options, __: list[str]) -> str:
        if not self.opened:
            raise TclError("no design is open")
        return "path@worst"

    def _write_hw_platform(self, options: Options, _: list[str]) -> None:
        self._report(options, [])

    def _set_false_path(self, options: Options, _: list[str]) -> None:
        self.named(options["-to"], "port")

    # block design

    def _create_bd_design(self, _: Options, words: list[str]) -> None:
        self.design = BlockDesign(words[0])

    def _create_bd_cell(self, options: Options, words: list[str]) -> str:
        if options["-type"] == "module":
            texts = "".join(path.read_text() for path in self._open().files["sources_1"])
            return self._drawn().add_module(words[0], module_ports(texts, options["-reference"]))
        vlnv = options["-vlnv"]
        own = ":".join((self.core["vendor"], self.core["library"], self.core["name"]))
        if vlnv == own and self.catalog:
            return self._drawn().add_packaged(words[0], self.packaged, self.properties)
        return self._drawn().add_ip(words[0], vlnv)

    def _apply_bd_automation(self, options: Options, words: list[str]) -> None:
        if not self._open().properties.get("board_part"):
            raise TclError("the project has no board")
        rule = "xilinx.com:bd_rule:zynq_ultra_ps_e", 'apply_board_preset "1"'
        if (options["-rule"], options["-config"]) != rule:
            raise TclError(f"there is no rule {options['-rule']} with {options['-config']}")
        self._drawn().apply_preset(self.named(words[0], "cell"), self.pll_mhz)

    def _get_bd_cells(self, _: Options, words: list[str]) -> str:
        return f"cell@{self._drawn().cell(words[0]).name}"

    def _get_bd_pins(self, _: Options, words: list[str]) -> str:
        return self._drawn().pin(words[0], axi=False)

    def _get_bd_intf_pins(self, _: Options, words: list[str]) -> str:
        return self._drawn().pin(words[0], axi=True)

    def _create_bd_port(self, options: Options, words: list[str]) -> str:
        self._drawn().ports[words[0]] = options["-dir"]
        return f"port@{words[0]}"

    def _get_bd_ports(self, _: Options, words: list[str]) -> str:
        return self._get_ports({}, words)

    def _connect_bd_net(self, _: Options, words: list[str]) -> None:
        self._drawn().connect(*(self.named(word, "pin", "port") for word in words))

    def _connect_bd_intf_net(self, _: Options, words: list[str]) -> None:
        self._drawn().connect(*(self.named(word, "intf") for word in words))

    def _get_bd_addr_spaces(self, _: Options, words: list[str]) -> str:
        return self._drawn().space(words[0])

    def _get_bd_addr_segs(self, options: Options, words: list[str]) -> str:
        return self._drawn().segment(words[0], quiet="-quiet" in options)

    def _assign_bd_address(self, options: Options, words: list[str]) -> None:
        space = self.named(options["-target_address_space"], "addr_space")
        segment = self.named(words[0], "segment")
        self._drawn().assign(space, segment, options.get("-offset"), options.get("-range"))

    def _exclude_bd_addr_seg(self, options: Options, words: list[str]) -> None:
        space = self.named(options["-target_address_space"], "addr_space")
        self._drawn().excluded.add((space, self.named(words[0], "segment")))

    def _validate_bd_design(self, _: Options, __: list[str]) -> None:
        self._drawn().validate()

    def _save_bd_design(self, _: Options, __: list[str]) -> None:
        self._drawn().saved = True
