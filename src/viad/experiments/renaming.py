"""Experiments with DVC's random names get ones that say what they are."""

from viad.artifacts.dvc_adapter import Repository
from viad.experiments.naming import RANDOM
from viad.experiments.overrides import CommittedConf
from viad.experiments.revisions import Revision
from viad.experiments.tables import described, start_of


def rename_all() -> dict[str, str]:
    """Rename every experiment that bears a random name; return the new names by the old ones.

    Two experiments that differ in nothing a name holds are told apart by a number.
    """
    renamed = {}
    with Repository() as repo:
        there = repo.list_experiments()
        taken = {name for name, _ in there}
        conf = CommittedConf(Revision(repo, "HEAD").yaml)
        for old, revision in sorted(there, key=lambda one: repo.read_commit(one[1]).time):
            row = described(Revision(repo, revision), start_of(repo, revision).yaml, conf)
            if not RANDOM.fullmatch(old) or row is None:
                continue
            new = _free(row["experiment"], taken)
            repo.rename_experiment(old, new)
            taken.add(new)
            renamed[old] = new
    return renamed


def _free(name: str, taken: set[str]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate
