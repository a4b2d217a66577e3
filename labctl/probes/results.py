"""What a whole run proved."""

from __future__ import annotations

from dataclasses import dataclass

from labctl.probes.drills import DrillVerdict
from labctl.probes.verdicts import Verdict, Word

EXIT_CODES: dict[Word, int] = {"pass": 0, "fail": 1, "inconclusive": 4}


@dataclass(frozen=True, slots=True)
class Results:
    """The verdicts of one run of `lab`. `where`: the kernel it ran on; `seconds`: how long each phase took."""

    lab: str
    where: str
    time_scale: int
    checks: tuple[Verdict, ...]
    drills: tuple[DrillVerdict, ...]
    seconds: dict[str, float]

    @property
    def words(self) -> list[Word]:
        """The verdict of every check and drill."""
        return [*(each.verdict for each in self.checks), *(each.verdict for each in self.drills)]

    @property
    def verdict(self) -> Word:
        """Fail if anything failed; pass only if everything passed, and something was there to pass."""
        words = self.words
        if "fail" in words:
            return "fail"
        return "pass" if set(words) == {"pass"} else "inconclusive"

    @property
    def exit_code(self) -> int:
        """0 all passed, 1 something failed, 4 something is not proved."""
        return EXIT_CODES[self.verdict]
