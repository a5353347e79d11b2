"""Checks encodings against the CDDL that stands in the pages of docs/formats, with zcbor and pycddl.

Standard input: the name of a page, a rule and an encoding in hexadecimal a line. Standard output, for each: `valid`, or
`refused` with the reasons.

Each of the two libraries lets something pass that it should not: zcbor 0.9 negative numbers for uint, and pycddl 0.6
text keys where keys are integers, and anything for an empty map. So an encoding is valid when both say so. Neither looks
well into byte strings: zcbor does not, and in an array pycddl takes another element for the one that .cbor names. What
.cbor names is a rule of its own in the pages, and is to be checked by itself.
"""

import contextlib
import io
import pathlib
import re
import sys

import cbor2
import pycddl
import zcbor

FORMATS = pathlib.Path(__file__).parents[3] / "docs" / "formats"
PRELUDE = pathlib.Path(zcbor.__file__).parent / "zcbor" / "prelude.cddl"
# It takes `*` to have a maximum.
UNBOUNDED = 2**64


class Checker(zcbor.DataTranslator):
    def _construct_obj(self, my_list):
        """Makes no named tuples of what was read: nobody looks at them, and not all rules name their fields."""


class Page:
    """The rules of a page, those of all of its blocks."""

    def __init__(self, name):
        text = (FORMATS / f"{name}.md").read_text()
        blocks = re.findall(r"^```cddl\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        self.rules = re.sub(r" \.cbor(seq)? [\w-]+", "", "\n".join(blocks))
        self.types = Checker.from_cddl(PRELUDE.read_text() + self.rules, UNBOUNDED).my_types
        self.schemas = {}

    def reasons(self, rule, octets):
        """Why `octets` are not of a rule; nothing if they are."""
        found = []
        try:
            # It prints as it goes.
            with contextlib.redirect_stdout(io.StringIO()):
                self.types[rule].validate_str(octets)
        except zcbor.CddlValidationError as error:
            found.append(f"zcbor: {error}")
        # It checks the first rule.
        schema = self.schemas.get(rule) or pycddl.Schema(f"checked = {rule}\n{self.rules}")
        self.schemas[rule] = schema
        try:
            schema.validate_cbor(octets)
        except pycddl.ValidationError as error:
            found.append(f"pycddl: {error}")
        return found


def main():
    pages = {}
    for line in sys.stdin:
        name, rule, digits = line.split()
        page = pages.get(name) or pages.setdefault(name, Page(name))
        octets = bytes.fromhex(digits)
        cbor2.loads(octets)
        reasons = page.reasons(rule, octets)
        print(" ".join(f"refused {'; '.join(reasons)}".split()) if reasons else "valid")


if __name__ == "__main__":
    main()
