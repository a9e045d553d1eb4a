# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion of enforcerd and enforcer-replay: the long options of their --help, and files.
_enforcer_long_options() {
    local cur=${COMP_WORDS[COMP_CWORD]}
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$("$1" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]+' | sort -u)" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -o filenames -F _enforcer_long_options enforcerd enforcer-replay
