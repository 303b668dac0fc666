"""Why an address, a connection or a listener could not be opened."""

from __future__ import annotations

from typing import Final

from socketkit.cli.error_pages.page import ErrorPage, Words
from socketkit.errors import (
    AddressError,
    ConnectError,
    HandshakeError,
    ListenError,
    OpenError,
    OptionError,
    RejectedError,
    ResolveError,
)

__all__ = ["OPENING"]

OPENING: Final[dict[str, ErrorPage]] = {
    "bad-address": ErrorPage(
        AddressError,
        Words(
            "An address cannot be read: no port, unknown scheme, not followed by '//'",
            "The text is no address. The message quotes the part that cannot be read, and says what is allowed there.",
            (
                "The slashes of a URL are missing: `tcp:host:5000`.",
                "The port is missing: only `ws://` and `wss://` have one of their own.",
                "An IPv6 address stands without brackets.",
                (
                    "The scheme is that of another program (`http://`, `postgres://`): here a scheme names the "
                    "kind of socket."
                ),
            ),
            (
                "The full form is `tcp://host:5000` or `unix:///path`; IPv6 is `tcp://[::1]:5000`.",
                "`socketkit help addresses` lists all schemes and short forms.",
                "In a path or a value write %3F for a question mark, %26 for an ampersand, %25 for a percent sign.",
            ),
        ),
        Words(
            "Адрес не читается: нет порта, неизвестная схема, not followed by '//'",
            "Этот текст — не адрес. В сообщении названы место, которое не читается, и что там допустимо.",
            (
                "Нет косых черт URL: `tcp:host:5000`.",
                "Нет порта: свой есть только у `ws://` и `wss://`.",
                "Адрес IPv6 записан без скобок.",
                "Схема взята от другой программы (`http://`, `postgres://`): здесь схема называет вид сокета.",
            ),
            (
                "Полная форма — `tcp://host:5000` или `unix:///path`; IPv6 — `tcp://[::1]:5000`.",
                "`socketkit help addresses` перечисляет все схемы и краткие формы.",
                (
                    "В пути и в значении пишите %3F вместо вопросительного знака, %26 вместо амперсанда, %25 "
                    "вместо процента."
                ),
            ),
        ),
    ),
    "bad-option": ErrorPage(
        OptionError,
        Words(
            "Unknown option, unknown framing, wrong value",
            "An option does not exist, has a value that it does not take, or cannot act where it was given. "
            "Nothing was opened.",
            (
                "The name has a typing error: the message proposes the nearest one.",
                "The unit is missing or wrong: times are `2s` or `100ms`, sizes `64KiB`.",
                "The option acts elsewhere: on a listener and not on a client, on TCP and not on UNIX sockets.",
                (
                    "It is an option of the framing, and was given beside it: the length of a message is "
                    "`lines:max_size=64KiB`."
                ),
            ),
            (
                "The message lists what is allowed; the tables of options and of framings say for what each is.",
                "`socketkit help framings` lists the framings; their options follow a colon.",
                "A file that a TLS option names must exist, and hold what the option needs.",
            ),
        ),
        Words(
            "Неизвестный параметр, неизвестное кадрирование, неверное значение",
            "Такого параметра нет, у него не бывает такого значения, или здесь он не может действовать. Ничего "
            "не открыто.",
            (
                "В имени опечатка: сообщение предлагает ближайшее.",
                "Единица не та или её нет: времена пишутся `2s` или `100ms`, размеры — `64KiB`.",
                "Параметр действует в другом месте: у слушающего сокета, а не у клиента, у TCP, а не у сокетов UNIX.",
                "Это параметр кадрирования, а задан он рядом с ним: длина сообщения — `lines:max_size=64KiB`.",
            ),
            (
                (
                    "Сообщение перечисляет допустимое; для чего каждый параметр, сказано в таблицах параметров и "
                    "кадрирований."
                ),
                "`socketkit help framings` перечисляет кадрирования; их параметры пишутся после двоеточия.",
                "Файл, который назван в параметре TLS, должен существовать и содержать то, что нужно.",
            ),
        ),
    ),
    "refused": ErrorPage(
        ConnectError,
        Words(
            "Connection refused (ECONNREFUSED)",
            "The machine answers, and nothing listens at this port, or a firewall answers for it. For a UNIX "
            "socket: the "
            "file is there, and no process listens at it.",
            (
                "The server has not started yet, or has ended.",
                "It listens at another port, or at another address: a server at 127.0.0.1 is not reachable from "
                "outside.",
                "A name has several addresses, and the server listens at one family only (::1 and 127.0.0.1).",
                "The socket file was left by a process that has ended.",
            ),
            (
                "`ss -lntp` on that machine shows what listens, and at which address.",
                "Wait for the server: `socketkit wait HOST:PORT`, or `--retry 5` with `connect`.",
                "In a container, listen at 0.0.0.0 or ::, and publish the port.",
            ),
        ),
        Words(
            "Connection refused (ECONNREFUSED): в соединении отказано",
            "Машина отвечает, но этот порт никто не слушает, или за него отвечает межсетевой экран. Для сокета "
            "UNIX: файл "
            "есть, но его никто не слушает.",
            (
                "Сервер ещё не запущен или уже завершился.",
                "Он слушает другой порт или другой адрес: сервер на 127.0.0.1 снаружи недоступен.",
                "У имени несколько адресов, а сервер слушает только одно семейство (::1 или 127.0.0.1).",
                "Файл сокета остался от завершившегося процесса.",
            ),
            (
                "`ss -lntp` на той машине покажет, кто слушает и на каком адресе.",
                "Дождитесь сервера: `socketkit wait HOST:PORT` или `--retry 5` у `connect`.",
                "В контейнере слушайте 0.0.0.0 или :: и опубликуйте порт.",
            ),
        ),
    ),
    "no-answer": ErrorPage(
        ConnectError,
        Words(
            "Connection timed out (ETIMEDOUT)",
            "Nothing has answered within the time limit: neither an acceptance nor a refusal has come.",
            (
                "A firewall drops the packets and does not refuse them.",
                "The address is wrong, or the machine is off.",
                "The server's backlog is full: it accepts more slowly than clients come.",
            ),
            (
                "Check the address with `--explain`: it shows which addresses were tried, and for how long.",
                "From the same network: `socketkit connect` from another machine, to see where packets are lost.",
                "For a slow path give more time: `--connect-timeout 30s`.",
            ),
        ),
        Words(
            "Connection timed out (ETIMEDOUT): нет ответа",
            "За отведённое время никто не ответил: не пришло ни согласия, ни отказа.",
            (
                "Межсетевой экран молча отбрасывает пакеты.",
                "Адрес неверен, или машина выключена.",
                "Очередь сервера (backlog) полна: он принимает медленнее, чем приходят клиенты.",
            ),
            (
                "Проверьте адрес с `--explain`: видно, какие адреса и сколько времени пробовались.",
                "Попробуйте `socketkit connect` с другой машины той же сети: станет видно, где теряются пакеты.",
                "Для медленного пути дайте больше времени: `--connect-timeout 30s`.",
            ),
        ),
    ),
    "unreachable": ErrorPage(
        ConnectError,
        Words(
            "Network is unreachable (ENETUNREACH), No route to host (EHOSTUNREACH)",
            "The system has no way to this address, or a router on the way reports that there is none.",
            (
                "The machine has no IPv6, and the name has an IPv6 address.",
                "A VPN or an interface is down.",
                "The other machine is off, or a firewall rejects with this answer.",
            ),
            (
                "`ip route get ADDRESS` shows the way that would be taken.",
                "Choose the family: `tcp4://` or `tcp6://`.",
            ),
        ),
        Words(
            "Network is unreachable (ENETUNREACH), No route to host (EHOSTUNREACH): нет пути",
            "У системы нет пути к этому адресу, или об этом сообщает маршрутизатор по дороге.",
            (
                "На машине нет IPv6, а у имени есть адрес IPv6.",
                "VPN или интерфейс не поднят.",
                "Другая машина выключена, или межсетевой экран отвечает так нарочно.",
            ),
            (
                "`ip route get ADDRESS` покажет путь, который был бы выбран.",
                "Выберите семейство: `tcp4://` или `tcp6://`.",
            ),
        ),
    ),
    "unknown-name": ErrorPage(
        ResolveError,
        Words(
            "Name or service not known, no address for a name",
            "The resolver knows no address for this name, or could not answer.",
            (
                "The name has a typing error, or is known only inside another network or container.",
                "The resolver cannot be reached: then every name fails.",
            ),
            (
                "`getent hosts NAME` asks as programs do; `/etc/hosts` counts too.",
                "Try a name that must be known, and an address in numbers.",
                "A name that appears later, as that of a container: `socketkit wait NAME:PORT` asks again.",
            ),
        ),
        Words(
            "Name or service not known: имя не найдено",
            "Служба имён не знает адреса этого имени или не смогла ответить.",
            (
                "В имени опечатка, или оно известно только внутри другой сети или контейнера.",
                "Служба имён недоступна: тогда не находится ни одно имя.",
            ),
            (
                "`getent hosts NAME` спрашивает так же, как программы; учитывается и `/etc/hosts`.",
                "Попробуйте заведомо известное имя и адрес цифрами.",
                "Если имя появится позже (контейнер), `socketkit wait NAME:PORT` будет спрашивать снова.",
            ),
        ),
    ),
    "in-use": ErrorPage(
        ListenError,
        Words(
            "Address already in use (EADDRINUSE)",
            "Another socket listens at this address and port, or at the same port of every interface.",
            (
                "The server runs already, or an old process of it has not ended.",
                "Another program has the port.",
                "For a UNIX socket: a process listens at this file.",
            ),
            (
                "`ss -lntp` shows the process that has it.",
                "Port 0 takes any free port: `tcp://localhost:0`; the address is printed.",
                "To replace a running server without refused clients: `--takeover`.",
                "Wait until it is free: `socketkit wait --free HOST:PORT`.",
            ),
        ),
        Words(
            "Address already in use (EADDRINUSE): адрес занят",
            "Другой сокет уже слушает этот адрес и порт или тот же порт на всех интерфейсах.",
            (
                "Сервер уже запущен, или его старый процесс не завершился.",
                "Порт занят другой программой.",
                "Для сокета UNIX: этот файл уже слушает процесс.",
            ),
            (
                "`ss -lntp` покажет процесс, который его занял.",
                "Порт 0 берёт любой свободный: `tcp://localhost:0`; адрес будет напечатан.",
                "Сменить работающий сервер без отказов клиентам: `--takeover`.",
                "Дождаться освобождения: `socketkit wait --free HOST:PORT`.",
            ),
        ),
    ),
    "not-local": ErrorPage(
        ListenError,
        Words(
            "Cannot assign requested address (EADDRNOTAVAIL)",
            "No interface of this machine has the address.",
            (
                "It is the address of another machine, of a router, or one that this machine had before.",
                "The interface is not up yet.",
            ),
            (
                "`ip addr` lists the addresses of this machine.",
                "Listen at every interface (`tcp://:5000`), and say with `--allow` who may connect.",
            ),
        ),
        Words(
            "Cannot assign requested address (EADDRNOTAVAIL): адрес не этой машины",
            "Ни у одного интерфейса этой машины нет такого адреса.",
            (
                "Это адрес другой машины, маршрутизатора или прежний адрес этой.",
                "Интерфейс ещё не поднят.",
            ),
            (
                "`ip addr` перечислит адреса этой машины.",
                "Слушайте все интерфейсы (`tcp://:5000`), а `--allow` скажет, кому можно подключаться.",
            ),
        ),
    ),
    "permission": ErrorPage(
        OpenError,
        Words(
            "Permission denied (EACCES), Operation not permitted (EPERM)",
            "The system does not let this user do it.",
            (
                "A port below 1024 needs root or CAP_NET_BIND_SERVICE.",
                "The file of a UNIX socket, or its folder, may not be written by this user.",
                "Raw sockets (`ip://`) need CAP_NET_RAW.",
                "A firewall rule of this machine rejects with this error.",
            ),
            (
                "Take a port from 1024 on, or pass the socket in: `systemd:` and `fd://3`.",
                "`ls -l` shows the rights of a socket's file; `unix:///path?mode=0660` sets them.",
            ),
        ),
        Words(
            "Permission denied (EACCES), Operation not permitted (EPERM): нет прав",
            "Система не разрешает это данному пользователю.",
            (
                "Порт меньше 1024 требует root или CAP_NET_BIND_SERVICE.",
                "Файл сокета UNIX или его каталог недоступны этому пользователю для записи.",
                "Для сырых сокетов (`ip://`) нужна CAP_NET_RAW.",
                "Такой ошибкой отвечает правило межсетевого экрана этой машины.",
            ),
            (
                "Возьмите порт от 1024 или передайте готовый сокет: `systemd:` и `fd://3`.",
                "`ls -l` покажет права файла сокета; `unix:///path?mode=0660` их задаёт.",
            ),
        ),
    ),
    "no-file": ErrorPage(
        OpenError,
        Words(
            "No such file or directory (ENOENT) for a UNIX socket",
            "There is no socket file with this name.",
            (
                "The server has not started, or removed its file when it ended.",
                "The path is relative, and the working directory is another one.",
                "The server's file lies in a private /tmp or in a container.",
            ),
            (
                "`ss -lx` lists the UNIX sockets that are listened at, with their paths.",
                "Wait for it: `socketkit wait unix:///run/app.sock`.",
            ),
        ),
        Words(
            "No such file or directory (ENOENT) для сокета UNIX: файла нет",
            "Файла сокета с таким именем нет.",
            (
                "Сервер не запущен или удалил файл, завершаясь.",
                "Путь относительный, а рабочий каталог другой.",
                "Файл сервера лежит в отдельном /tmp или в контейнере.",
            ),
            (
                "`ss -lx` перечислит слушаемые сокеты UNIX с их путями.",
                "Дождитесь его: `socketkit wait unix:///run/app.sock`.",
            ),
        ),
    ),
    "certificate": ErrorPage(
        HandshakeError,
        Words(
            "Certificate verify failed: the peer's certificate is refused",
            "The server's certificate was not accepted. No authority that we trust has signed it, it has expired, "
            "or it is for another name.",
            (
                "It is self-signed, or from an authority of one's own (a company, a test).",
                "It has expired, or this machine's clock is wrong.",
                "The address has another name than the certificate, or is an address in numbers.",
                "The certificate has no alternative name (subjectAltName). Its CN is not looked at.",
                "The server does not send its intermediate certificates.",
            ),
            (
                "`socketkit connect tls://HOST:PORT --insecure --summary text < /dev/null` shows chain, names and "
                "expiry.",
                "Trust that authority, or the self-signed certificate itself: `--cacert FILE`, `TLS(ca=...)`.",
                "One with the right names: `openssl req -x509 -addext subjectAltName=DNS:localhost,IP:127.0.0.1`.",
                "For one server with a certificate of its own: the error shows its pin; give it by `--pin`.",
                "To check another name: `--server-name NAME`. `--insecure` accepts anybody, so not for anything that "
                "matters.",
            ),
        ),
        Words(
            "Certificate verify failed, the peer's certificate is refused: сертификат не прошёл проверку",
            "Сертификат сервера не принят. Его не подписал ни один центр, которому мы доверяем, он просрочен или "
            "выдан на другое имя.",
            (
                "Он самоподписанный или выдан собственным центром (компании, теста).",
                "Он просрочен, или часы этой машины идут неверно.",
                "Имя в адресе не то, что в сертификате, или вместо имени адрес цифрами.",
                "В сертификате нет альтернативного имени (subjectAltName). На его CN никто не смотрит.",
                "Сервер не посылает промежуточные сертификаты.",
            ),
            (
                "`socketkit connect tls://HOST:PORT --insecure --summary text < /dev/null` покажет цепочку, имена и "
                "срок.",
                "Доверьтесь этому центру или самому самоподписанному сертификату: `--cacert FILE`, `TLS(ca=...)`.",
                "С нужными именами: `openssl req -x509 -addext subjectAltName=DNS:localhost,IP:127.0.0.1`.",
                "Для одного сервера с собственным сертификатом: ошибка показывает его отпечаток, задайте его `--pin`.",
                "Проверить другое имя: `--server-name NAME`. `--insecure` принимает кого угодно и для важного не "
                "годится.",
            ),
        ),
    ),
    "client-certificate": ErrorPage(
        RejectedError,
        Words(
            "Certificate required, unknown CA: the server refuses this client (mutual TLS)",
            "The server accepts only clients with a certificate of an authority that it trusts, and ours was "
            "missing or not accepted. In TLS 1.3 it says so after our handshake is done, so the first "
            "`receive` raises it.",
            (
                "Our certificate was not given.",
                (
                    "It is signed by an authority that the server does not trust: its `ca`, or `--client-ca`, "
                    "names another."
                ),
                "It has expired, or is not for clients (extendedKeyUsage).",
            ),
            (
                "Give certificate and key: `--cert FILE` and `--key FILE`, in a program `cert=` and `key=`.",
                "`openssl verify -CAfile CA CERT` checks it as the server does.",
                "With `-v` a server of the command reports the same reason; in a program its event Closed has it.",
            ),
        ),
        Words(
            "Certificate required, unknown CA: сервер не принимает этого клиента (mutual TLS)",
            "Сервер принимает только клиентов с сертификатом центра, которому доверяет, а нашего не было или "
            "он не подошёл. В TLS 1.3 это выясняется после нашего рукопожатия, поэтому ошибку вызывает первый "
            "`receive`.",
            (
                "Наш сертификат не задан.",
                "Его подписал центр, которому сервер не доверяет: его `ca` или `--client-ca` называет другой.",
                "Он просрочен или выдан не для клиентов (extendedKeyUsage).",
            ),
            (
                "Задайте сертификат и ключ: `--cert FILE` и `--key FILE`, в программе — `cert=` и `key=`.",
                "`openssl verify -CAfile CA CERT` проверит его так же, как сервер.",
                "С `-v` сервер команды сообщает ту же причину; в программе она есть в его событии Closed.",
            ),
        ),
    ),
    "not-tls": ErrorPage(
        HandshakeError,
        Words(
            "Wrong version number, record layer failure: the peer does not speak TLS",
            "The answer to our handshake is no TLS.",
            (
                "The port speaks the plain protocol: `tcp://`.",
                "The protocol begins in plain text and changes to TLS later (SMTP, IMAP, PostgreSQL): STARTTLS.",
                "A proxy in between answers with a page of HTTP.",
            ),
            (
                "`socketkit connect tcp://HOST:PORT` shows what it says by itself.",
                "`--starttls smtp|imap|pop3|xmpp|postgres|ldap`.",
            ),
        ),
        Words(
            "Wrong version number, record layer failure: собеседник не говорит на TLS",
            "Ответ на наше рукопожатие не похож на TLS.",
            (
                "Этот порт говорит на обычном протоколе: `tcp://`.",
                "Протокол начинается открытым текстом и переходит на TLS позже (SMTP, IMAP, PostgreSQL): STARTTLS.",
                "Прокси по дороге отвечает страницей HTTP.",
            ),
            (
                "`socketkit connect tcp://HOST:PORT` покажет, что он говорит сам.",
                "`--starttls smtp|imap|pop3|xmpp|postgres|ldap`.",
            ),
        ),
    ),
    "upgrade-refused": ErrorPage(
        HandshakeError,
        Words(
            "A WebSocket was refused with an HTTP status",
            "The server has answered the request for an upgrade with a page or an error.",
            (
                "The path is another one (404), or needs a login (401, 403).",
                "The server allows other origins only (403).",
                "A proxy before it does not pass the upgrade on (400, 426, 502).",
            ),
            (
                "Read the status in the message: the causes above say what each means.",
                "`--origin`, `--header 'Authorization: ...'`, `--subprotocol`.",
                "nginx needs `proxy_http_version 1.1` and the headers Upgrade and Connection.",
            ),
        ),
        Words(
            "WebSocket: сервер ответил статусом HTTP",
            "На просьбу перейти на WebSocket сервер ответил страницей или ошибкой.",
            (
                "Путь другой (404) или нужен вход (401, 403).",
                "Сервер разрешает только другие источники (403).",
                "Прокси перед ним не передаёт переход (400, 426, 502).",
            ),
            (
                "Посмотрите статус в сообщении: выше сказано, что значит каждый.",
                "`--origin`, `--header 'Authorization: ...'`, `--subprotocol`.",
                "Для nginx нужны `proxy_http_version 1.1` и заголовки Upgrade и Connection.",
            ),
        ),
    ),
    "too-many-files": ErrorPage(
        OpenError,
        Words(
            "Too many open files (EMFILE, ENFILE)",
            "The process, or the system, has no descriptor left. A server keeps the connection that it could not "
            "serve, and "
            "goes on when one is free.",
            (
                "More connections than the limit of the process (`ulimit -n`, often 1024).",
                "Descriptors are not closed: connections without `with`, forgotten files.",
            ),
            (
                "`ls /proc/PID/fd | wc -l` counts them; `ss -tnp` shows whose they are.",
                "A higher limit: `ulimit -n 65536`, or LimitNOFILE= of a service.",
                "A limit of the server's own: `--max-connections`.",
            ),
        ),
        Words(
            "Too many open files (EMFILE, ENFILE): кончились дескрипторы",
            "У процесса или у системы не осталось дескрипторов. Сервер удерживает соединение, которое не смог "
            "обслужить, и "
            "продолжает, когда дескриптор освободится.",
            (
                "Соединений больше, чем разрешено процессу (`ulimit -n`, часто 1024).",
                "Дескрипторы не закрываются: соединения без `with`, забытые файлы.",
            ),
            (
                "`ls /proc/PID/fd | wc -l` сосчитает их; `ss -tnp` покажет, чьи они.",
                "Предел побольше: `ulimit -n 65536` или LimitNOFILE= у службы.",
                "Собственный предел сервера: `--max-connections`.",
            ),
        ),
    ),
}
"""Each page, by its code."""
