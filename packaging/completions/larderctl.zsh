#compdef larderctl
# Commands and options are those that larderctl itself tells, so that there is
# no second list of them.

_larderctl() {
	local -a commands options
	local command word skip

	for word in ${words[2,CURRENT-1]}; do
		if [[ -n $skip ]]; then
			skip=
		elif [[ $word == (-c|--config|-s|--socket) ]]; then
			skip=1
		elif [[ $word != -* ]]; then
			command=$word
			break
		fi
	done
	if [[ -n $skip ]]; then
		_files
	elif [[ $PREFIX == -* ]]; then
		options=(${(f)"$(larderctl ${command:-ping} --help 2>/dev/null |
			grep -E '^usage:|^  +-' |
			grep -oE -e '(^|[^[:alnum:]-])--?[[:alpha:]][[:alpha:]-]*' |
			grep -oE -e '--?[[:alpha:]][[:alpha:]-]*')"})
		compadd -- $options
	elif [[ -z $command ]]; then
		commands=(${(f)"$(larderctl --help 2>/dev/null |
			sed -n 's/^  \([a-z][a-z]*\)  *\(.*\)/\1:\2/p')"})
		_describe command commands
	fi
}

_larderctl "$@"
