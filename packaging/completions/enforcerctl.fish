# SPDX-License-Identifier: GPL-2.0-or-later
# fish completion of enforcerctl. Commands, words and options come from its own --help.
function __enforcerctl_command
    for word in (commandline -opc)[2..-1]
        string match -q -- '-*' $word; or begin
            echo $word
            return 0
        end
    end
    return 1
end
function __enforcerctl_commands
    enforcerctl --help 2>/dev/null | awk '/^commands:/ {on = 1; next} /^$/ {on = 0} on {name = $1; $1 = ""; print name "\t" substr($0, 2)}'
end
function __enforcerctl_options
    enforcerctl (__enforcerctl_command) --help 2>/dev/null | awk '/^options:/ {on = 1; next} /^$/ {on = 0} on {print $1}'
end
function __enforcerctl_words
    set -l command (__enforcerctl_command)
    if contains -- $command release show
        enforcerctl list 2>/dev/null | awk 'NR > 1 {print $1}'
    else
        enforcerctl $command --help 2>/dev/null | sed -n '1{s/^usage: enforcerctl [a-z-]*//;s/\[[^]]*\]//g;p}' | grep -oE '\b[a-z]+\b'
    end
end
complete -c enforcerctl -f
complete -c enforcerctl -n 'not __enforcerctl_command' -a '(__enforcerctl_commands)'
complete -c enforcerctl -n __enforcerctl_command -a '(__enforcerctl_words)'
complete -c enforcerctl -n 'string match -q -- "-*" (commandline -ct)' -a '(__enforcerctl_options)'
