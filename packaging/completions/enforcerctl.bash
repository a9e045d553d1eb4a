# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion of enforcerctl. Commands, words and options come from its own --help: nothing to keep in step.
_enforcerctl_commands() {
    enforcerctl --help 2>/dev/null | awk '/^commands:/ {on = 1; next} /^$/ {on = 0} on {print $1}'
}
_enforcerctl_options() { # command, or nothing
    enforcerctl ${1:+"$1"} --help 2>/dev/null | awk '/^options:/ {on = 1; next} /^$/ {on = 0} on {print $1}'
}
# The words that stand in the usage outside of brackets: "add ADDR [--name N]" gives add.
_enforcerctl_words() {
    enforcerctl "$1" --help 2>/dev/null | sed -n '1{s/^usage: enforcerctl [a-z-]*//;s/\[[^]]*\]//g;p}' | grep -oE '\b[a-z]+\b'
}
_enforcerctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' i
    COMPREPLY=()
    case $previous in
    --socket) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    --for) mapfile -t COMPREPLY < <(compgen -W '10m 1h 24h 7d forever' -- "$cur"); return ;;
    --by) mapfile -t COMPREPLY < <(compgen -W 'connections destinations blocked' -- "$cur"); return ;;
    --level) mapfile -t COMPREPLY < <(compgen -W 'throttle smtp full' -- "$cur"); return ;;
    --since) mapfile -t COMPREPLY < <(compgen -W '10m 1h 24h 7d' -- "$cur"); return ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --socket | --for | --by | --level | --since | --reason | --ticket | --limit | --name | --confirm | --owner | --expires) ((i++)) ;;
        -*) ;;
        *) command=${COMP_WORDS[i]}; break ;;
        esac
    done
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_enforcerctl_options "$command")" -- "$cur")
    elif [ -z "$command" ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_enforcerctl_commands)" -- "$cur")
    elif [ "$command" = release ] || [ "$command" = show ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(enforcerctl list 2>/dev/null | awk 'NR > 1 {print $1}')" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -W "$(_enforcerctl_words "$command")" -- "$cur")
    fi
}
complete -F _enforcerctl enforcerctl
