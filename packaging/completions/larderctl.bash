# bash completion for larderctl. Commands and options are those that larderctl
# itself tells, so that there is no second list of them.

# Words of its help: the commands, or (with a command) its options.
_larderctl_words()
{
	if [ -z "$1" ]; then
		larderctl --help 2>/dev/null |
			sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p'
	else
		larderctl "$1" --help 2>/dev/null |
			grep -E '^usage:|^  +-' |
			grep -oE -e '(^|[^[:alnum:]-])--?[[:alpha:]][[:alpha:]-]*' |
			grep -oE -e '--?[[:alpha:]][[:alpha:]-]*'
	fi
}

_larderctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local command= i

	COMPREPLY=()
	case $prev in
	-c | --config | -s | --socket)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config | -s | --socket)
			((i++))
			;;
		-*) ;;
		*)
			command=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	if [[ -z $command && $cur != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_larderctl_words)" -- "$cur")
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(
			compgen -W "$(_larderctl_words "${command:-ping}")" -- "$cur")
	fi
} &&
	complete -F _larderctl larderctl
