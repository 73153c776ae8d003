"""New and changed designs get their row in the ledger, and with it their seeds, before anything is trained."""

from dataclasses import replace

from normbench.claims.family import STANDARD_LOOKS
from normbench.claims.ledger import append, register
from normbench.claims.loading import with_history
from normbench.commands.claiming import Request
from normbench.commands.terminal import say
from normbench.errors import ConfigError


def register_designs(request: Request, reason: str | None) -> Request:
    """Add the designs of the chosen claims that the ledger does not have yet.

    Args:
        request: What to judge.
        reason: Why designs were changed; new ones need none.

    Returns:
        The request, each cell with its row.

    Raises:
        ConfigError: If a design was changed and no reason is given.
        StudyError: If the ledger cannot be written.
    """
    claims = dict(request.claims)
    new = [claims[name] for name in request.chosen if any(cell.registered is None for cell in claims[name].cells)]
    for cell in (cell for claim in new for cell in claim.cells):
        if cell.history and cell.registered is None and not reason:
            raise ConfigError(
                f"{cell.id}: its design was changed ({cell.history[-1].spec_sha256[:12]}, now {cell.spec_sha256[:12]}) "
                "and will be judged on fresh seeds: say why with --reason TEXT, or try it with --quick."
            )
    for claim in new:
        entries = register(
            claim.history,
            claim.id,
            [(cell.name, cell.spec_sha256) for cell in claim.cells if cell.registered is None],
            looks=STANDARD_LOOKS,
            reason=reason or "first design",
        )
        assert claim.folder is not None
        append(claim.folder, entries)
        say(f"{claim.id}: seeds {entries[0].first_seed} to {entries[0].end - 1}, by {claim.folder / 'ledger.csv'}")
        claims[claim.id] = with_history(claim, (*claim.history, *entries))
    return replace(request, claims=claims)
