"""Every option, device and device key that the program has is in the documents and in the completion for bash, and no other.

documented_test.py PROGRAM ROOT"""
import re
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(sys.argv.pop())
PROGRAM = sys.argv.pop()
OPTION = re.compile(r"(?<![\w#-])--[a-z][a-z-]*")
PAGE = (ROOT / "docs/command-line.md").read_text()


def said(*arguments):
    return subprocess.run([PROGRAM, *arguments], check=True, capture_output=True, text=True).stdout


OPTIONS = set(OPTION.findall(said("--help")))
DEVICES = set(re.findall(r"^[ *] ([a-z][a-z0-9_-]*) ", said("--device", "help"), re.M))


def complete(line):
    """What bash would offer for a line, at its end."""
    script = f"""compopt() {{ :; }}; . "{ROOT}/completions/asyncvm.bash"
        COMP_LINE=$1 COMP_POINT=${{#1}}; _asyncvm; printf '%s\\n' "${{COMPREPLY[@]}}" """
    shown = subprocess.run(["bash", "-c", script, "bash", line], check=True, capture_output=True, text=True)
    assert not shown.stderr, shown.stderr
    return shown.stdout.split()


class Options(unittest.TestCase):
    def test_help_names_options(self):
        self.assertIn("--serial", OPTIONS)

    def test_the_page_has_every_option_and_no_other(self):
        self.assertEqual(OPTIONS, set(OPTION.findall(PAGE)))

    def test_every_option_has_a_section_of_its_own(self):
        headings = " ".join(re.findall(r"^### (.*)", PAGE, re.M))
        self.assertEqual(OPTIONS, set(OPTION.findall(headings)))

    def test_the_man_page_has_every_option_and_no_other(self):
        manual = (ROOT / "docs/asyncvm.1.in").read_text().replace("\\-", "-")
        self.assertEqual(OPTIONS, set(OPTION.findall(manual)))

    def test_the_checker_of_remote_devices_has_its_options_in_a_man_page_of_its_own(self):
        shown = subprocess.run([ROOT / "tools/asyncvm-device", "check", "--help"], check=True, capture_output=True, text=True).stdout
        manual = (ROOT / "docs/asyncvm-device.1.in").read_text().replace("\\-", "-")
        self.assertIn("--connect", shown)
        self.assertEqual(set(OPTION.findall(shown)), set(OPTION.findall(manual)))

    def test_the_readme_has_every_option_in_its_table(self):
        table = "\n".join(re.findall(r"^\|.*", (ROOT / "README.md").read_text(), re.M))
        self.assertEqual(OPTIONS, set(OPTION.findall(table)))


class Devices(unittest.TestCase):
    def test_help_names_devices(self):
        self.assertIn("uart16550", DEVICES)

    def test_the_page_has_every_device_with_its_keys(self):
        rows = dict(re.findall(r"^\| `([a-z0-9_-]+)` \|(.*)\|$", PAGE[PAGE.index("### --device"):PAGE.index("### --no-def")], re.M))
        self.assertEqual(DEVICES, set(rows))
        for device in DEVICES:
            keys = set(re.findall(r"^  ([a-z]+)=", said("--device", device + ",help"), re.M)) - {"port", "mmio"}
            self.assertEqual(keys, set(re.findall(r"`([a-z]+)=", rows[device])), device)


class Control(unittest.TestCase):
    def test_the_page_has_the_tables_that_the_program_makes(self):
        page = (ROOT / "docs/control.md").read_text()
        for table in said("ctl", "--tables").split("\n\n"):
            self.assertIn(table.strip(), page, "put the output of `asyncvm ctl --tables` there: tools/control-tables does it")

    def test_bash_completes_words_commands_arguments_and_values(self):
        for word in ("ctl", "top", "inspect"):
            self.assertIn(word, complete(f"{PROGRAM} {word[:-1]}"))
        commands = [line.split()[0] for line in said("ctl", "--commands").splitlines()]
        self.assertIn("query-status", commands)
        self.assertEqual(["events", "hmp", *commands], complete(f"{PROGRAM} ctl /tmp/s "))
        self.assertEqual(["memsave"], complete(f"{PROGRAM} ctl /tmp/s mems"))
        self.assertEqual(["val=", "size=", "filename=", "cpu-index="], complete(f"{PROGRAM} ctl /tmp/s memsave "))
        self.assertEqual(["size="], complete(f"{PROGRAM} ctl /tmp/s memsave val=1 si"))
        self.assertEqual(["true"], [word.split("=")[-1] for word in complete(f"{PROGRAM} ctl /tmp/s dump-guest-memory paging=t")])
        self.assertEqual([], complete(f"{PROGRAM} ctl /tmp/s nope "))
        self.assertEqual([], complete(f"{PROGRAM} top /tmp/s "))
        # What stands for a file behind `ctl` is the socket.
        self.assertIn(f"{ROOT}/docs", complete(f"{PROGRAM} ctl {ROOT}/doc"))


class Programs(unittest.TestCase):
    """What the documents show is what the tests compile and run."""

    def assert_shown(self, document, source, language="cpp"):
        blocks = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / document).read_text(), re.M | re.S)
        self.assertIn((ROOT / source).read_text(), blocks, f"{document} does not show {source} as it is")

    def test_the_readme_shows_the_embedding_program(self):
        self.assert_shown("README.md", "test/install/embedder.cpp")

    def test_the_page_of_the_plugins_shows_the_thermometer(self):
        self.assert_shown("docs/plugins.md", "test/plugin/thermometer.cpp")

    def test_the_page_of_the_devices_shows_the_mailbox(self):
        self.assert_shown("docs/devices/README.md", "test/unit/devices/mailbox.hpp")
        self.assert_shown("docs/devices/README.md", "test/unit/virtio/shouter.hpp")

    def test_the_page_of_the_clients_shows_the_examples(self):
        for source, language in (("thermometer.py", "python"), ("dice.c", "c"), ("fifo.js", "js")):
            self.assert_shown("docs/remote-clients.md", f"tools/device-clients/{source}", language)
        self.assert_shown("README.md", "tools/device-clients/thermometer.py", "python")


class Completion(unittest.TestCase):
    def test_options(self):
        self.assertEqual(OPTIONS, set(complete(f"{PROGRAM} --")))
        self.assertEqual(["--no-defaults"], complete(f"{PROGRAM} --no"))

    def test_devices_and_their_keys_come_from_the_program(self):
        self.assertEqual(DEVICES | {"help"}, set(complete(f"{PROGRAM} --device ")))
        self.assertEqual(["exit,code="], complete(f"{PROGRAM} --device exit,c"))

    def test_plugins_and_recordings_are_files(self):
        self.assertEqual([f"{ROOT}/LICENSE"], complete(f"{PROGRAM} --device {ROOT}/LICEN"))
        # bash itself keeps what stands before the equals sign.
        self.assertEqual([f"{ROOT}/LICENSE"], complete(f"{PROGRAM} --device replay={ROOT}/LICEN"))

    def test_words_of_a_serial_port(self):
        self.assertEqual(["tcp:", "telnet:"], complete(f"{PROGRAM} --serial t"))
        # bash itself keeps what stands before the last colon or equals sign.
        self.assertEqual(["4444,wait"], complete(f"{PROGRAM} --serial tcp:4444,w"))
        self.assertEqual(["wait,history="], complete(f"{PROGRAM} --serial=tcp:4444,full=wait,h"))
        self.assertEqual([], complete(f"{PROGRAM} --serial stdio,h"))


if __name__ == "__main__":
    unittest.main()
