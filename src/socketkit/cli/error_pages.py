"""What people ask about an error: what it means, why it comes, what to try. In English and Russian, one table.

`socketkit help errors CODE` shows a page; `docs/errors/CODE.md` is the same. A failure at a terminal names its code.
"""

from __future__ import annotations

import errno
from typing import Final

from socketkit.errors import (
    BrokenError,
    BusyError,
    ConnectError,
    DeadlineError,
    FrameTooLongError,
    FramingError,
    HandshakeError,
    ListenError,
    OpenError,
    ResolveError,
    SocketkitError,
    TruncatedFrameError,
)
from socketkit.values import Value

__all__ = ["HEADINGS", "PAGES", "ErrorPage", "Words", "code_of"]


class Words(Value):
    """A page in one language.

    Attributes:
        title: what somebody reads, and searches for.
        meaning: what has happened.
        causes: why it happens, the most frequent first.
        tries: what to try, in this order.
    """

    title: str
    meaning: str
    causes: tuple[str, ...]
    tries: tuple[str, ...]


class ErrorPage(Value):
    """One kind of failure, by the exception that reports it."""

    raised: type[SocketkitError]
    en: Words
    ru: Words


HEADINGS: Final = {
    "en": ("What it means", "Why", "What to try"),
    "ru": ("Что это значит", "Почему", "Что попробовать"),
}

PAGES: Final[dict[str, ErrorPage]] = {
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
    "reset": ErrorPage(
        BrokenError,
        Words(
            "Connection reset by peer (ECONNRESET)",
            "The peer, or something on the way, has ended both directions at once. What it had not read is lost.",
            (
                "The other process crashed, or was killed.",
                "It closed the socket while bytes that it had not read were waiting.",
                "It refuses this client after accepting it: a limit, an access list, a wrong protocol.",
                "A firewall or a load balancer forgot the connection after a time of silence.",
            ),
            (
                "The server's log tells whether it meant it.",
                "TLS spoken to a plain port, or the reverse, ends this way: try `tls://` or `tcp://`.",
                "Against forgotten connections: keep-alive (on by default), or a message from time to time.",
            ),
        ),
        Words(
            "Connection reset by peer (ECONNRESET): соединение сброшено",
            "Собеседник или кто-то по дороге оборвал сразу оба направления. Непрочитанное им потеряно.",
            (
                "Другой процесс упал или был убит.",
                "Он закрыл сокет, не прочитав всего, что пришло.",
                "Он отказывает клиенту уже после приёма: предел, список доступа, не тот протокол.",
                "Межсетевой экран или балансировщик забыл соединение после долгого молчания.",
            ),
            (
                "Журнал сервера скажет, нарочно ли это.",
                "Так кончается TLS на обычном порту и наоборот: попробуйте `tls://` или `tcp://`.",
                "От забытых соединений помогает keep-alive (включён по умолчанию) или сообщение время от времени.",
            ),
        ),
    ),
    "broken-pipe": ErrorPage(
        BrokenError,
        Words(
            "Broken pipe (EPIPE)",
            "We send, and the peer has closed, or our own direction was ended before.",
            (
                "The peer has its answer and has closed; what we send now is not read.",
                "`send` after `send_eof`.",
                "Standard output's reader, as `head`, has ended. The command takes that for success.",
            ),
            ("Receive before you send more: the peer's last words may say why it left.",),
        ),
        Words(
            "Broken pipe (EPIPE): другая сторона закрыта",
            "Мы посылаем, а собеседник уже закрыл соединение, или мы сами завершили своё направление раньше.",
            (
                "Собеседник получил, что хотел, и ушёл; того, что мы шлём теперь, никто не читает.",
                "`send` после `send_eof`.",
                "Читатель стандартного вывода, например `head`, завершился. Команда считает это успехом.",
            ),
            ("Прежде чем слать дальше, читайте: последние слова собеседника могут объяснить, почему он ушёл.",),
        ),
    ),
    "certificate": ErrorPage(
        HandshakeError,
        Words(
            "Certificate verify failed",
            "The server's certificate was not accepted: no authority that we trust has signed it, it has expired, "
            "or it "
            "is for "
            "another name.",
            (
                "It is self-signed, or from an authority of one's own (a company, a test).",
                "It has expired, or this machine's clock is wrong.",
                "The address has another name than the certificate, or is an address in numbers.",
                "The server does not send its intermediate certificates.",
            ),
            (
                "`socketkit connect tls://HOST:PORT --insecure --summary text < /dev/null` shows chain, names and "
                "expiry.",
                "Trust that authority: `--cacert FILE`, `TLS(ca=...)`.",
                "For one server with a certificate of its own: the error shows its pin; give it by `--pin`.",
                "To check another name: `--server-name NAME`. `--insecure` accepts anybody, so not for anything that "
                "matters.",
            ),
        ),
        Words(
            "Certificate verify failed: сертификат не прошёл проверку",
            "Сертификат сервера не принят: его не подписал никто, кому мы доверяем, он просрочен или выдан на "
            "другое имя.",
            (
                "Он самоподписанный или выдан собственным центром (компании, теста).",
                "Он просрочен, или часы этой машины идут неверно.",
                "Имя в адресе не то, что в сертификате, или вместо имени адрес цифрами.",
                "Сервер не посылает промежуточные сертификаты.",
            ),
            (
                "`socketkit connect tls://HOST:PORT --insecure --summary text < /dev/null` покажет цепочку, имена и "
                "срок.",
                "Доверьтесь этому центру: `--cacert FILE`, `TLS(ca=...)`.",
                "Для одного сервера с собственным сертификатом: ошибка показывает его отпечаток, задайте его `--pin`.",
                "Проверить другое имя: `--server-name NAME`. `--insecure` принимает кого угодно и для важного не "
                "годится.",
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
    "too-long": ErrorPage(
        FrameTooLongError,
        Words(
            "A frame is longer than max_size",
            "A message is longer than the framing allows: 1 MiB, unless another limit was given.",
            (
                "The peer sends longer messages than you expect.",
                "The framings of the two sides differ: a length in another byte order reads as a huge number.",
                "No delimiter comes, since the peer ends its messages another way, or not at all.",
            ),
            (
                "`--dump hex` shows the first bytes: is it the framing that you think?",
                "A higher limit: `lines:max_size=16MiB`. A peer can then make you hold that much.",
                "Only part of it is wanted: `oversize=truncate` or `skip`.",
            ),
        ),
        Words(
            "Сообщение длиннее max_size",
            "Сообщение длиннее, чем допускает кадрирование: 1 МиБ, если предел не задан иначе.",
            (
                "Собеседник посылает сообщения длиннее, чем вы ждёте.",
                "Кадрирование у сторон разное: длина в другом порядке байтов читается как огромное число.",
                "Разделителя нет: собеседник кончает сообщения иначе или никак.",
            ),
            (
                "`--dump hex` покажет первые байты: то ли это кадрирование, что вы думаете?",
                "Предел побольше: `lines:max_size=16MiB`. Тогда собеседник сможет занять столько памяти.",
                "Нужно только начало: `oversize=truncate` или `skip`.",
            ),
        ),
    ),
    "truncated": ErrorPage(
        TruncatedFrameError,
        Words(
            "The stream ended inside a message",
            "The peer has ended its direction, and the last message is not whole.",
            (
                "It crashed, or gave up half-way.",
                "It does not end its last message as the framing asks.",
                "The framings of the two sides differ.",
            ),
            (
                "What came is in the error (`error.partial`) or in `--dump`.",
                "Lines need no end for the last one; for anything else compare the framings of both sides.",
            ),
        ),
        Words(
            "Поток кончился посреди сообщения",
            "Собеседник завершил своё направление, а последнее сообщение неполное.",
            (
                "Он упал или остановился на полпути.",
                "Он не заканчивает последнее сообщение так, как требует кадрирование.",
                "Кадрирование у сторон разное.",
            ),
            (
                "Что пришло, видно в ошибке (`error.partial`) или с `--dump`.",
                "Последней строке конец не нужен; в остальных случаях сравните кадрирование обеих сторон.",
            ),
        ),
    ),
    "not-text": ErrorPage(
        FramingError,
        Words(
            "A byte is not utf-8 in a line",
            "The framing `lines` reads text, and these bytes are none in its encoding.",
            (
                "The peer uses another encoding (latin-1, cp1251, koi8-r).",
                "It sends no text at all: a binary protocol, or TLS.",
            ),
            (
                "Name the encoding: `lines:encoding=cp1251`.",
                "Take bytes: `lines:encoding=none`, or the framing `chunks`.",
            ),
        ),
        Words(
            "Байт в строке не utf-8",
            "Кадрирование `lines` читает текст, а эти байты в его кодировке текстом не являются.",
            (
                "У собеседника другая кодировка (latin-1, cp1251, koi8-r).",
                "Он шлёт вовсе не текст: двоичный протокол или TLS.",
            ),
            (
                "Назовите кодировку: `lines:encoding=cp1251`.",
                "Берите байты: `lines:encoding=none` или кадрирование `chunks`.",
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
    "busy": ErrorPage(
        BusyError,
        Words(
            "Another task already receives",
            "Two tasks, or threads, receive from one connection at a time. Which of them would get a message is "
            "chance, so "
            "it is an error.",
            (
                "A second `async for`, or a `receive` beside one.",
                "A task that receives was forgotten, and goes on in the background.",
            ),
            (
                "One task receives, and hands messages on by a queue.",
                "Sending needs no such care: any number of tasks may send.",
            ),
        ),
        Words(
            "Another task already receives: уже читает другая задача",
            "Две задачи или два потока читают одно соединение одновременно. Кому досталось бы сообщение, решал бы "
            "случай, "
            "поэтому это ошибка.",
            (
                "Второй `async for` или `receive` рядом с ним.",
                "Читающая задача забыта и продолжает работать.",
            ),
            (
                "Пусть читает одна задача и передаёт сообщения через очередь.",
                "Посылать могут сколько угодно задач сразу.",
            ),
        ),
    ),
    "deadline": ErrorPage(
        DeadlineError,
        Words(
            "A time limit has passed",
            "The peer did not answer, read or end within the time that was given. The connection can still be used, "
            "unless "
            "the message says otherwise.",
            (
                "The peer waits for something too: the rest of a request, or the end of our direction.",
                "The peer is slow, or lost without a word.",
            ),
            (
                "Does the request end as the protocol asks: a line end, an empty line, `send_eof`?",
                "The message names the option whose limit it was: give more time there.",
            ),
        ),
        Words(
            "Время вышло",
            "Собеседник не ответил, не прочитал или не закончил за отведённое время. Соединением можно пользоваться "
            "дальше, "
            "если в сообщении не сказано иное.",
            (
                "Собеседник тоже ждёт: остатка запроса или конца нашего направления.",
                "Собеседник медленный или пропал молча.",
            ),
            (
                "Кончается ли запрос так, как требует протокол: концом строки, пустой строкой, `send_eof`?",
                "В сообщении названа опция, чей это предел: дайте больше времени там.",
            ),
        ),
    ),
}
"""Every page, by its code."""

_BY_NUMBER: Final[dict[type[SocketkitError], dict[int, str]]] = {
    ConnectError: {
        errno.ECONNREFUSED: "refused",
        errno.ETIMEDOUT: "no-answer",
        errno.ENETUNREACH: "unreachable",
        errno.EHOSTUNREACH: "unreachable",
    },
    ListenError: {errno.EADDRINUSE: "in-use", errno.EADDRNOTAVAIL: "not-local"},
    OpenError: {
        errno.EACCES: "permission",
        errno.EPERM: "permission",
        errno.ENOENT: "no-file",
        errno.EMFILE: "too-many-files",
        errno.ENFILE: "too-many-files",
    },
    BrokenError: {errno.ECONNRESET: "reset", errno.EPIPE: "broken-pipe"},
}

_BY_TYPE: Final = {
    ResolveError: "unknown-name",
    FrameTooLongError: "too-long",
    TruncatedFrameError: "truncated",
    BusyError: "busy",
    DeadlineError: "deadline",
}

_NO_TLS: Final = ("wrong version number", "record layer failure", "unknown protocol", "http request")


def code_of(error: BaseException) -> str | None:
    """Return the code of the page about this error; None: there is none."""
    if not isinstance(error, SocketkitError):
        return None
    for kind, codes in _BY_NUMBER.items():
        if isinstance(error, kind) and error.errno in codes:
            return codes[error.errno]
    for kind, code in _BY_TYPE.items():
        if isinstance(error, kind):
            return code
    text = str(error).lower()
    if isinstance(error, HandshakeError):
        if error.status is not None:
            return "upgrade-refused"
        if "certificate verify failed" in text:
            return "certificate"
        return "not-tls" if any(phrase in text for phrase in _NO_TLS) else None
    return "not-text" if isinstance(error, FramingError) and "is not utf-8" in text else None
