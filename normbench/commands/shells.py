"""Shell completion scripts for `normbench`, and the answers to them."""

import os
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from normbench.errors import ConfigError, nearest

# `=` ends a word in bash: $2 is the part of `norm=gr` that bash will replace; only the line has the whole word.
_BASH = r"""_normbench_completion() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_CWORD="" COMP_CURRENT="$2" \
        _NORMBENCH_COMPLETE=bash_complete "$1" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=.] ]]; then compopt -o nospace 2>/dev/null; fi
    return 0
}
complete -o nosort -F _normbench_completion normbench 2>/dev/null || complete -F _normbench_completion normbench
"""

_ZSH = r"""#compdef normbench
_normbench_completion() {
    local -a open plain named shown parts
    local line
    for line in "${(@f)$(env COMP_WORDS="${(j: :)words[1,CURRENT]}" COMP_CWORD=$((CURRENT - 1)) \
        _NORMBENCH_COMPLETE=zsh_complete ${words[1]} 2>/dev/null)}"; do
        parts=("${(@ps:\t:)line}")
        case $parts[1] in
            dir) _path_files -/ ;;
            file) _path_files ;;
            plain)
                if [[ $parts[2] == *[=.] ]]; then open+=("$parts[2]")
                elif [[ -n $parts[3] ]]; then named+=("$parts[2]"); shown+=("$parts[2]  -- $parts[3]")
                else plain+=("$parts[2]")
                fi ;;
        esac
    done
    (( $#open )) && compadd -S '' -a open
    (( $#plain )) && compadd -a plain
    (( $#named )) && compadd -l -d shown -a named
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _normbench_completion "$@"
else
    compdef _normbench_completion normbench
fi
"""

_FISH = r"""function _normbench_completion
    for line in (env _NORMBENCH_COMPLETE=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -ct) \
        normbench 2>/dev/null)
        set -l parts (string split --max 1 , -- $line)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                echo $parts[2]
        end
    end
end
complete --no-files --command normbench --arguments '(_normbench_completion)'
"""

SCRIPTS: Mapping[str, str] = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@click.command(epilog='Example, for ~/.bashrc: eval "$(normbench completion bash)"')
@click.argument("shell", shell_complete=lambda _ctx, _param, text: [name for name in SCRIPTS if name.startswith(text)])
def completion(shell: str) -> int:
    """Print the completion script for SHELL: bash, zsh or fish. It completes commands, overrides, studies and runs."""
    if shell not in SCRIPTS:
        raise ConfigError(f"unknown shell {shell!r}{nearest(shell, SCRIPTS)}")
    print(SCRIPTS[shell], end="")
    return 0


def teach_click() -> None:
    """Make click answer these scripts instead of its own."""
    for shell in (_Bash, _Zsh, _Fish):
        add_completion_class(shell)


class _Own(ShellComplete):
    def source(self) -> str:
        return SCRIPTS[self.name]


class _Bash(_Own, BashComplete):
    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor and the one at it; click's own script sets COMP_CWORD."""
        if os.environ.get("COMP_CWORD"):
            return super().get_completion_args()
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)[1:]
        if line[-1:].isspace() or not words:
            return words, ""
        return words[:-1], words[-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return the replacements for bash's last word, which may begin after a `=`."""
        items = super().get_completions(args, incomplete)
        current = os.environ.get("COMP_CURRENT", incomplete).lstrip("'\"")
        kept = incomplete.removesuffix(current)
        for item in items:
            item.value = item.value.removeprefix(kept)
        return items


class _Zsh(_Own, ZshComplete):
    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return kind, value and help, separated by tabs."""
        return f"{item.type}\t{item.value}\t{' '.join((item.help or '').split())}"


class _Fish(_Own, FishComplete):
    pass
