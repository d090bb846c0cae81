"""Experiments with DVC's random names get ones that say what they are."""

from viad.experiments.naming import RANDOM
from viad.experiments.overrides import CommittedConf
from viad.experiments.revisions import Revision
from viad.experiments.tables import described, start_of


def rename_all() -> dict[str, str]:
    """Rename every experiment that bears a random name; return the new names by the old ones.

    Two experiments that differ in nothing a name holds are told apart by a number.
    """
    from dvc.repo import Repo

    renamed = {}
    with Repo() as repo:
        there = [one for listed in repo.experiments.ls(all_commits=True).values() for one in listed]
        taken = {name for name, _ in there}
        conf = CommittedConf(Revision(repo, "HEAD").yaml)
        for old, revision in sorted(there, key=lambda one: repo.scm.resolve_commit(one[1]).commit_time):
            row = described(Revision(repo, revision), start_of(repo, revision).yaml, conf)
            if not RANDOM.fullmatch(old) or row is None:
                continue
            new = _free(row["experiment"], taken)
            repo.experiments.rename(new_name=new, exp_name=old)
            taken.add(new)
            renamed[old] = new
    return renamed


def _free(name: str, taken: set[str]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate
