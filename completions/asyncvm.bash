# bash completion for asyncvm

# Sets COMPREPLY to those of the words $3 that make the typed word $1 longer, each with the prefix $2 before it.
_asyncvm_reply() {
    local word
    for word in $3; do
        [[ $2$word == "$1"* ]] && COMPREPLY+=("$2$word")
    done
    # A word that wants more after it gets no space.
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace
}

_asyncvm_files() {
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -P "$2" -f -- "$1")
}

# The words of --serial, --debugcon and --console, and of --virtio-port behind the name.
_asyncvm_stream() {
    local typed=$1 options="backlog= full=wait full=drop linger= log= append ${2-}"
    case $typed in
        tcp:*,* | telnet:*,*) options+=' client reconnect= wait telnet history=' ;;
        unix:*,*) options+=' client reconnect= wait history=' ;;
        pty,*) options+=' wait link=' ;;
        file:*,* | stdio,*) ;;
        null,*) options='log= append' ;;
        unix:* | file:*)
            _asyncvm_files "${typed#*:}" "${typed%%:*}:"
            return
            ;;
        *)
            _asyncvm_reply "$typed" '' 'tcp: telnet: unix: file: pty stdio null'
            return
            ;;
    esac
    _asyncvm_reply "$typed" "${typed%,*}," "$options"
}

# The program itself knows its devices and their keys: $2 is how it was called.
_asyncvm_device() {
    local typed=$1 program=$2
    if [[ $typed == record=* || $typed == replay=* ]] && [[ $typed != *,* ]]; then
        _asyncvm_files "${typed#*=}" "${typed%%=*}="
    elif [[ $typed == */* && $typed != *,* ]]; then
        _asyncvm_files "$typed" '' # a plugin
    elif [[ $typed == *,* ]]; then
        _asyncvm_reply "$typed" "${typed%,*}," \
            "help $("$program" --device "${typed%%,*},help" 2>/dev/null | sed -n 's/^  \([a-z]*=\).*/\1/p')"
    else
        _asyncvm_reply "$typed" '' "help $("$program" --device help 2>/dev/null | sed -n 's/^[ *] \([a-z0-9_-]*\) .*/\1/p')"
    fi
}

# Uses the words of _asyncvm.
_asyncvm_cut() {
    local cut breaks=${COMP_WORDBREAKS//[^:=]/}
    # bash puts the reply in place of what stands after the last : or = (unless told otherwise), not of the whole word.
    if [[ -n $breaks ]]; then
        cut=${typed%"${typed##*["$breaks"]}"}
        COMPREPLY=("${COMPREPLY[@]#"$cut"}")
    fi
}

# Words after `asyncvm ctl`: the program knows its commands and their arguments.
_asyncvm_ctl() {
    local typed=$1 program=${words[0]} at=$((${#words[@]} - 1)) command=${words[3]-}
    if [[ $at -eq 2 ]]; then
        _asyncvm_files "$typed" ''
    elif [[ $at -eq 3 ]]; then
        _asyncvm_reply "$typed" '' "events hmp $("$program" ctl --commands 2>/dev/null | cut -d ' ' -f 1)"
    elif [[ $typed == filename=* ]]; then
        _asyncvm_files "${typed#*=}" filename=
    elif [[ $typed == protocol=file:* ]]; then
        _asyncvm_files "${typed#*:}" protocol=file:
    elif [[ $typed == protocol=* ]]; then
        _asyncvm_reply "$typed" '' 'protocol=file:'
    elif [[ $typed == paging=* || $typed == detach=* ]]; then
        _asyncvm_reply "$typed" "${typed%%=*}=" 'true false'
    else
        _asyncvm_reply "$typed" '' "$("$program" ctl --commands 2>/dev/null | sed -n "s/^$command //p")"
    fi
}

_asyncvm() {
    local typed option
    local -a words
    # The words as the program will see them: bash also takes them apart at : and =.
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=('')
    typed=${words[-1]}
    option=${words[-2]}
    COMPREPLY=()
    if [[ ${#words[@]} -gt 2 && ${words[1]} == @(ctl|top) ]]; then
        [[ ${words[1]} == ctl || ${#words[@]} -eq 3 ]] && _asyncvm_ctl "$typed"
        _asyncvm_cut
        return
    fi
    if [[ $typed == --*=* ]]; then
        option=${typed%%=*}
        typed=${typed#*=}
    fi
    COMPREPLY=()
    case $option in
        --serial | --debugcon) _asyncvm_stream "$typed" ;;
        --console) _asyncvm_stream "$typed" 'cols= rows=' ;;
        --virtio-port)
            if [[ $typed == *=* ]]; then
                _asyncvm_stream "${typed#*=}"
                COMPREPLY=("${COMPREPLY[@]/#/${typed%%=*}=}")
            else
                _asyncvm_reply "$typed" '' 'org.qemu.guest_agent.0='
            fi
            ;;
        --device) _asyncvm_device "$typed" "${words[0]}" ;;
        --posted-writes) _asyncvm_reply "$typed" '' 'on off' ;;
        --machine) _asyncvm_reply "$typed" '' 'flat pc' ;;
        --transport) _asyncvm_reply "$typed" '' 'mmio pci' ;;
        --reboot) _asyncvm_reply "$typed" '' 'exit restart' ;;
        --on-crash) _asyncvm_reply "$typed" '' 'gdb exit' ;;
        --gdb) _asyncvm_reply "$typed" '' 'tcp: unix: stdio' ;;
        --on-halt) _asyncvm_reply "$typed" '' 'exit fail wait' ;;
        --format) _asyncvm_reply "$typed" '' 'flat elf pvh multiboot multiboot2 bzimage boot firmware' ;;
        --disk)
            if [[ $typed == vhost-user:* ]]; then
                _asyncvm_files "${typed#*:}" vhost-user:
            else
                _asyncvm_files "$typed" ''
            fi
            ;;
        --fs | --firmware | --initrd | --module | --trace | --core) _asyncvm_files "$typed" '' ;;
        --append) ;;
        --net) _asyncvm_reply "$typed" '' 'user user,hostfwd= tap tap= stream:unix: stream:tcp: dgram:unix: vhost-user:' ;;
        --vsock) _asyncvm_reply "$typed" '' 'unix:' ;;
        --memory-share | --irqchip) _asyncvm_reply "$typed" '' 'on off' ;;
        --hugepages) _asyncvm_reply "$typed" '' 'off on reserved' ;;
        --control) _asyncvm_reply "$typed" '' 'unix: fd:' ;;
        --metrics) _asyncvm_reply "$typed" '' 'tcp: unix:' ;;
        --accel) _asyncvm_reply "$typed" '' 'kvm unicorn auto' ;;
        --mode) _asyncvm_reply "$typed" '' '16 32 64' ;;
        --reg) _asyncvm_reply "$typed" '' 'rax= rbx= rcx= rdx= rsi= rdi= rsp= rbp= rip= rflags= cs= ds= es= fs= gs= ss=' ;;
        --memory | -m) _asyncvm_reply "$typed" '' '64M 128M 256M 512M 1G' ;;
        --load | --entry | --cpu | --cpus | --smp) ;;
        *)
            if [[ $typed == -* ]]; then
                _asyncvm_reply "$typed" '' '--append --initrd --module --format --disk --firmware --machine --transport --reboot --on-halt --on-crash --core --gdb --load --entry --mode --reg --memory --hugepages --memory-share --cpus --smp --cpu --irqchip --accel --posted-writes --rng --balloon --net --fs --vsock --device --no-defaults
                    --serial --debugcon --console --virtio-port --control --metrics --trace --probe --probe-lines --stats --verbose --help --version'
            else
                _asyncvm_files "$typed" ''
                [[ ${#words[@]} -eq 2 ]] && _asyncvm_reply "$typed" '' 'ctl top inspect trace'
            fi
            ;;
    esac
    _asyncvm_cut
}

complete -F _asyncvm asyncvm
