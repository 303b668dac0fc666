"""The Russian words of the tables of the command: its verbs, their options, the groups of these."""

from __future__ import annotations

COMMAND = {
    "A WebSocket gets what a stream brings as text, not as binary messages.": (
        "То, что приходит из потока, идёт в WebSocket текстом, а не двоичными сообщениями."
    ),
    "A further header field of a WebSocket's request; may be given several times.": (
        "Дополнительное поле заголовка в запросе WebSocket; можно повторять."
    ),
    "A subprotocol of WebSocket to agree on; may be given several times, best first.": (
        "Подпротокол WebSocket для согласования; можно повторять, лучший первым."
    ),
    "Accept only clients from here: 10.0.0.0/8,::1, unix; repeatable.": (
        "Принимать клиентов только отсюда: 10.0.0.0/8,::1, unix; можно повторять."
    ),
    "Accept only clients with a certificate that --client-ca trusts.": (
        "Принимать только клиентов с сертификатом, которому доверяет --client-ca."
    ),
    "Accepted connections a second.": "Сколько соединений принимается в секунду.",
    "Answer GET /metrics for Prometheus at this address: tcp://localhost:9100.": (
        "Отвечать Prometheus на GET /metrics на этом адресе: tcp://localhost:9100."
    ),
    "Answer telnet's negotiation, and keep it from being shown.": ("Отвечать на переговоры telnet и не показывать их."),
    "Answer telnet's negotiation.": "Отвечать на переговоры telnet.",
    "Append a line of JSON for each connection.": "Дописывать строку JSON на каждое соединение.",
    "Application protocols to agree on: h2,http/1.1.": "Прикладные протоколы для согласования: h2,http/1.1.",
    "Ask for TLS in this protocol first: smtp, imap, pop3, xmpp, postgres, ldap.": (
        "Сначала попросить TLS средствами этого протокола: smtp, imap, pop3, xmpp, postgres, ldap."
    ),
    "Be a proxy: each client says where to, by SOCKS5 (or SOCKS4, SOCKS4a) or by HTTP CONNECT.": (
        "Быть прокси: каждый клиент сам говорит, куда, по SOCKS5 (или SOCKS4, SOCKS4a) или HTTP CONNECT."
    ),
    "Bytes a second of each direction: 1MiB/s (default: no limit).": (
        "Сколько байтов в секунду в каждом направлении: 1MiB/s (по умолчанию без предела)."
    ),
    "Bytes a second, each connection and direction: 1MB.": (
        "Сколько байтов в секунду у каждого соединения в каждом направлении: 1MB."
    ),
    "Check clients' certificates by these.": "Проверять сертификаты клиентов по этим.",
    "Clients beyond that: wait (in the backlog; default), or reject (reset at once).": (
        "Что с лишними: wait (ждут в очереди на приём; по умолчанию) или reject (сразу сбрасываются)."
    ),
    "Clients that may wait to be accepted (default: as many as the system allows).": (
        "Сколько клиентов может ждать приёма (по умолчанию: сколько разрешает система)."
    ),
    "Close a connection whose peer is silent for so long.": ("Закрыть соединение, если собеседник столько молчит."),
    "Connect through this proxy.": "Подключаться через этот прокси.",
    "Connect through: socks5://USER:PASSWORD@HOST:PORT, socks4a://…, http://…, several with commas; or env.": (
        "Подключаться через: socks5://USER:PASSWORD@HOST:PORT, socks4a://…, http://…, несколько через запятую; или env."
    ),
    "Connections at a time (default 10000).": "Соединений одновременно (по умолчанию 10000).",
    "Connections of one address at a time; the next is reset.": (
        "Соединений с одного адреса одновременно; следующее сбрасывается."
    ),
    "Do not check the server's certificate: any server is accepted.": (
        "Не проверять сертификат сервера: годится любой."
    ),
    "Do not read standard input.": "Не читать стандартный ввод.",
    "End a connection after this time without a byte.": (
        "Завершить соединение, если столько времени не прошло ни байта."
    ),
    "End a connection after this time.": "Завершить соединение по истечении этого времени.",
    "End our direction at the end of the input: always so here.": (
        "Закрыть своё направление в конце ввода: здесь так всегда."
    ),
    "End with status 124 when no client comes for so long (default: forever).": (
        "Завершиться с кодом 124, если столько времени нет клиента (по умолчанию ждать вечно)."
    ),
    "End with status 124 when the peer is silent for so long while we wait for it.": (
        "Завершиться с кодом 124, если собеседник столько молчит, пока мы его ждём."
    ),
    "Follow HTTP redirects, five at most.": "Следовать перенаправлениям HTTP, не больше пяти.",
    "For one guest: the chat ends when the guest leaves.": ("Для одного гостя: чат кончается, когда он уходит."),
    "Go on with the next client; with --exec, and over udp, many at once.": (
        "Затем обслуживать следующего клиента; с --exec и по udp — многих сразу."
    ),
    "Guests at a time; more are told that the chat is full (default 1000).": (
        "Гостей одновременно; остальным отвечают, что чат полон (по умолчанию 1000)."
    ),
    "How bytes are divided into messages: chunks (default), lines, length:4, json, ...": (
        "Как байты делятся на сообщения: chunks (по умолчанию), lines, length:4, json, ..."
    ),
    "How long a client may take before the first message (default 10s).": (
        "Сколько времени есть у клиента до первого сообщения (по умолчанию 10s)."
    ),
    "How long connecting may take, over all addresses of the name (default 10s).": (
        "Сколько времени есть на подключение, на все адреса имени (по умолчанию 10s)."
    ),
    "How long one direction may go on after the end of the other: 2s, 0, forever (default).": (
        "Сколько одно направление может продолжаться после конца другого: 2s, 0, forever (по умолчанию)."
    ),
    "How long one look may take, over all addresses of the name (default 2s; exec: 10s).": (
        "Сколько времени есть у одной попытки, на все адреса имени (по умолчанию 2s; exec: 10s)."
    ),
    "How long the other direction may go on after the end of the first: 2s, 0, forever (default).": (
        "Сколько второе направление может продолжаться после конца первого: 2s, 0, forever (по умолчанию)."
    ),
    "How long to wait for the next answer after our end, over udp, unixgram, ip (1s), and if given, ws.": (
        "Сколько ждать следующего ответа после конца ввода, по udp, unixgram, ip (1s), а если задано, и по ws."
    ),
    "How long to wait for the next answer after our end, over udp, unixgram, ip (forever), and if given, ws.": (
        "Сколько ждать следующего ответа после конца ввода, по udp, unixgram, ip (forever), а если задано, и по ws."
    ),
    "How long to wait, for all of them: 2m, 0 (look once), forever. Default: 30s.": (
        "Сколько всего ждать, всех вместе: 2m, 0 (одна попытка), forever. По умолчанию 30s."
    ),
    "How often to try again after a failed connect: 5, forever (default: not at all).": (
        "Сколько раз повторить неудачное подключение: 5, forever (по умолчанию ни разу)."
    ),
    "How standard input is written: text, hex (48 65), or escaped (\\\\n \\\\x00; Enter itself sends nothing).": (
        "В каком виде стандартный ввод: text, hex (48 65) или escaped (\\\\n \\\\x00; сама клавиша Enter ничего "
        "не отправляет)."
    ),
    "How standard output is written: text, hex, or mixed (\\\\x00 where it is no text; so on a terminal).": (
        "В каком виде писать стандартный вывод: text, hex или mixed (\\\\x00 там, где не текст; так на терминале)."
    ),
    "How the process waits: asyncio, uvloop, trio, epoll, kqueue, poll, select, blocking. Default: the "
    "best that the system itself has.": (
        "Чем ждёт процесс: asyncio, uvloop, trio, epoll, kqueue, poll, select, blocking. По умолчанию лучшим "
        "из того, что есть в самой системе."
    ),
    "IPv4 alone.": "Только IPv4.",
    "IPv6 alone.": "Только IPv6.",
    "Its private key, where it is a file of its own.": "Его закрытый ключ, если он в отдельном файле.",
    "Keep what is said in this SQLite file; without it, it is kept in memory.": (
        "Хранить сказанное в этом файле SQLite; без него оно хранится в памяти."
    ),
    "Lines a second of each guest, after 60 at once; beyond it the guest waits (default 0: no limit).": (
        "Сколько строк в секунду можно гостю, после 60 разом; сверх этого гость ждёт (по умолчанию 0: без предела)."
    ),
    "Lines said before that are shown to whoever joins a room (default 50).": (
        "Сколько прежних строк показать вошедшему в комнату (по умолчанию 50)."
    ),
    "Listen, for one client.": "Слушать, для одного клиента.",
    "Make a certificate for this run, and print the pin for clients' --pin.": (
        "Создать сертификат на этот запуск и напечатать отпечаток для ключа --pin у клиентов."
    ),
    "Numbers only: look up no name.": "Только числа: имена не разрешать.",
    "One JSON object a line: id, time, room, name, kind, text.": (
        "По объекту JSON в строке: id, time, room, name, kind, text."
    ),
    "One chat with the other hosts at this bus: nats://HOST:4222 or redis://HOST:6379, perhaps with ?chat=NAME.": (
        "Один чат с другими узлами на этой шине: nats://HOST:4222 или redis://HOST:6379, можно с ?chat=NAME."
    ),
    "One of them is enough.": "Достаточно одного из них.",
    "Our certificate with its chain (PEM).": "Наш сертификат с его цепочкой (PEM).",
    "Print at the end, on standard error: times, bytes, rates, TLS, certificates. (SIGUSR1: print them now.)": (
        "В конце напечатать в стандартный поток ошибок: времена, байты, скорости, TLS, сертификаты. "
        "(SIGUSR1: напечатать сейчас.)"
    ),
    "Processes that share the clients; one that dies is replaced. Limits are per process. [default: 1; "
    "1&lt;=x&lt;=1024]": (
        "Сколько процессов делят клиентов; умерший заменяется. Ограничения — на каждый процесс. [по "
        "умолчанию 1; от 1 до 1024]"
    ),
    "Proxies that may connect, each with a PROXY header; repeatable.": (
        "Прокси, которым можно подключаться, каждое соединение — с заголовком PROXY; можно повторять."
    ),
    "Receive only: standard input is not read.": "Только принимать: стандартный ввод не читается.",
    "Record it as a pcapng file, which Wireshark and tshark read.": (
        "Записать обмен в файл pcapng, который читают Wireshark и tshark."
    ),
    "Report events on standard error; -vv: also the steps before them.": (
        "Сообщать о событиях в стандартный поток ошибок; -vv: и о шагах перед ними."
    ),
    "Reset clients from here, whatever is allowed; repeatable.": (
        "Сбрасывать клиентов отсюда, что бы ни было разрешено; можно повторять."
    ),
    "Run a program for each client, without a shell; its status is ours. Its input is what the client sends.": (
        "Запускать программу для каждого клиента, без оболочки; её код завершения — наш. Её ввод — то, что шлёт клиент."
    ),
    "Run a program, and put the other end through to it.": ("Запустить программу и соединить с ней другую сторону."),
    "Run a program, without a shell: the peer's data is its input, its output is sent; its status is ours.": (
        "Запустить программу, без оболочки: данные собеседника — её ввод, её вывод отправляется; её код "
        "завершения — наш."
    ),
    "Send a PROXY header of this version first, before TLS.": ("Сначала, до TLS, послать заголовок PROXY этой версии."),
    "Send line feeds as CR LF.": "Отправлять переводы строк как CR LF.",
    "Send only: what is received is discarded. The end of the input ends it.": (
        "Только отправлять: полученное отбрасывается. Завершается с концом ввода."
    ),
    "Send the line feeds of standard input as CR LF; a CR LF stays one.": (
        "Отправлять переводы строк стандартного ввода как CR LF; уже стоящий CR LF не меняется."
    ),
    "Send this once connected, and wait for an answer; escapes: \\\\r \\\\n \\\\x00; hex:00ff. Needed for udp.": (
        "Отправить это после подключения и ждать ответа; можно \\\\r \\\\n \\\\x00; hex:00ff. Для udp обязателен."
    ),
    "Serve a page there for guests with a browser: http://localhost:8080, https:// with --cert.": (
        "Дать там страницу для гостей с браузером: http://localhost:8080, https:// с --cert."
    ),
    "Serve the first client only, then end.": "Обслужить только первого клиента и завершиться.",
    "Serve the first client, then end.": "Обслужить первого клиента и завершиться.",
    "Show every socket call with its arguments and result, and explain it.": (
        "Показывать каждый вызов сокета с аргументами и результатом и объяснять его."
    ),
    "Show the traceback of a failure.": "При неудаче показать трассировку.",
    "Show the version.": "Показать версию.",
    "Show this message and exit.": "Показать эту справку и завершиться.",
    "Show what was transferred so far, and of a file as input the percentage and time left; on a terminal only.": (
        "Показывать, сколько передано, а если ввод — файл, то и проценты с оставшимся временем; только на терминале."
    ),
    "Take the listening sockets over from the running process, at this UNIX socket.": (
        "Забрать слушающие сокеты у работающего процесса через этот сокет UNIX."
    ),
    "Tell what happens.": "Сообщать, что происходит.",
    "Test whether a connection is accepted; send nothing.": (
        "Проверить, принимают ли соединение; ничего не отправлять."
    ),
    "The HTTP body must match.": "Тело ответа HTTP должно подходить.",
    "The HTTP status that counts: 200, 2xx, 200-204, several with commas (default 2xx).": (
        "Какой код HTTP годится: 200, 2xx, 200-204, несколько через запятую (по умолчанию 2xx)."
    ),
    "The address to connect from.": "Адрес, с которого подключаться.",
    "The answer must match.": "Ответ должен подходить.",
    "The first line of this file is the password of the chat.": "Первая строка этого файла — пароль чата.",
    "The first pause between tries and the longest; each is twice the one before, less up to a half by "
    "chance (default 0.1s..10s).": (
        "Первая пауза между попытками и самая длинная; каждая вдвое длиннее прежней и случайно укорачивается "
        "не больше чем наполовину (по умолчанию 0.1s..10s)."
    ),
    "The language of the chat's texts (default: the locale's).": ("Язык текстов чата (по умолчанию как в локали)."),
    "The language of the texts (default: the locale's).": "Язык текстов (по умолчанию как в локали).",
    "The name that the certificate must have (default: the host).": (
        "Имя, которое должно быть в сертификате (по умолчанию узел)."
    ),
    "The name to ask for.": "Имя, которое попросить.",
    "The protocol of the proxy: SOCKS 4, 5 (default), or HTTP CONNECT; also socks4, socks5, http.": (
        "Протокол прокси: SOCKS 4, 5 (по умолчанию) или HTTP CONNECT; также socks4, socks5, http."
    ),
    "The same for all connections together.": "То же на все соединения вместе.",
    "The same from a file, one USER:PASSWORD a line.": "То же из файла, по одному USER:PASSWORD в строке.",
    "The same; without -X it speaks HTTP, as with ncat.": "То же; без -X говорит по HTTP, как в ncat.",
    "The server's key must have this SHA-256: sha256:HEX; without --cacert nothing else is checked.": (
        "У ключа сервера должен быть такой SHA-256: sha256:HEX; без --cacert больше ничего не проверяется."
    ),
    "The source address of connections to targets: 192.0.2.1, [::1]:5000, :5000.": (
        "Локальный адрес соединений с целями: 192.0.2.1, [::1]:5000, :5000."
    ),
    "The user for the proxy.": "Пользователь для прокси.",
    "The web page that a WebSocket is opened for, as https://example.com.": (
        "Веб-страница, для которой открывается WebSocket, например https://example.com."
    ),
    "Time after our end.": "Время после конца ввода.",
    "Time to connect; silence.": "Время на подключение; молчание.",
    "Trust these authorities, not the system's.": "Доверять этим удостоверяющим центрам, а не системным.",
    "UDP, or with -U datagrams.": "UDP, а с -U — датаграммы UNIX.",
    "UNIX sockets: HOST is a path.": "Сокеты UNIX: HOST — это путь.",
    "Use TLS, whatever the address says (tls://… says it too).": (
        "Использовать TLS, что бы ни говорил адрес (tls://… говорит то же)."
    ),
    "Wait until nothing accepts there any more.": "Ждать, пока там не перестанут принимать.",
    "Web pages that may open a WebSocket, joined by commas, or * for all (default: those of this host).": (
        "Веб-страницы, которые могут открыть WebSocket, через запятую, или * для всех (по умолчанию страницы "
        "этого узла)."
    ),
    "Which target is tried first: first (the others are spares; default), round-robin, or least (connections).": (
        "Какая цель пробуется первой: first (остальные запасные; по умолчанию), round-robin или least (где "
        "меньше соединений)."
    ),
    "With --dynamic: destinations that are refused, whatever is allowed; repeatable.": (
        "С --dynamic: запрещённые цели, что бы ни было разрешено; можно повторять."
    ),
    "With --dynamic: the only destinations: networks, addresses, names with subdomains; repeatable.": (
        "С --dynamic: единственные разрешённые цели: сети, адреса, имена с поддоменами; можно повторять."
    ),
    "With --dynamic: who may use it; repeatable.": "С --dynamic: кто может им пользоваться; можно повторять.",
    "With --exec: at a pseudo-terminal, for shells, editors, sudo.": (
        "С --exec: на псевдотерминале, для оболочек, редакторов, sudo."
    ),
    "With --exec: run COMMAND by sh -c, with pipes and variables.": (
        "С --exec: выполнить COMMAND через sh -c, с каналами и переменными."
    ),
    "With -l: for one after another (with -e: for many at once).": (
        "С -l: обслуживать одного за другим (с -e: многих сразу)."
    ),
    "With -l: the port to listen at; else the port to connect from.": (
        "С -l: порт, на котором слушать; иначе порт, с которого подключаться."
    ),
    "Write the `listening` lines to this descriptor too, and close it.": (
        "Написать строки `listening` и в этот дескриптор и закрыть его."
    ),
    "Write the data of both directions to standard error.": (
        "Писать данные обоих направлений в стандартный поток ошибок."
    ),
    "Write the dump there instead (as text, unless --dump says else).": (
        "Писать их в этот файл (текстом, если --dump не велит иначе)."
    ),
    "Your name.": "Ваше имя.",
    "Send back every message, to any number of clients (default address: tcp://localhost:50000).": (
        "Возвращать каждое сообщение любому числу клиентов (адрес по умолчанию: tcp://localhost:50000)."
    ),
    "Send standard input to a socket, and what comes back to standard output (default: tcp://localhost:50000).": (
        "Стандартный ввод — в сокет, пришедшее оттуда — в стандартный вывод (по умолчанию tcp://localhost:50000)."
    ),
    "Wait for a client; send standard input to it, and write what it sends to standard output.": (
        "Дождаться клиента; отправлять ему стандартный ввод и писать то, что он шлёт, в стандартный вывод."
    ),
    "Connect each client of LISTEN to a TARGET; the ends of both directions, and losses, are relayed.": (
        "Соединить каждого клиента LISTEN с целью TARGET; концы обоих направлений и обрывы передаются дальше."
    ),
    "Wait until every address accepts connections, then replace this process by a command, if one is given.": (
        "Дождаться, пока каждый адрес не станет принимать соединения, и заменить этот процесс командой, если "
        "она задана."
    ),
    "Netcat, as its flavours agree: arbitrary TCP, UDP and UNIX conversations.": (
        "Netcat, в чём его разновидности согласны: любой обмен по TCP, UDP и UNIX."
    ),
    "Write what was said to standard output, from the FILE of `chat host --store`.": (
        "Написать сказанное в стандартный вывод, из FILE от `chat host --store`."
    ),
    "Host a room, and take part in it (default: tcp://localhost:5000).": (
        "Открыть чат и участвовать в нём (по умолчанию tcp://localhost:5000)."
    ),
    "Join a room (default: tcp://localhost:5000).": "Войти в чат (по умолчанию tcp://localhost:5000).",
    "The life of a socket, run and explained on this machine.": (
        "Жизнь сокета: выполняется и объясняется на этой машине."
    ),
    "Show the help of a verb, as VERB --help does; without one, the list of verbs.": (
        "Показать справку о команде, как VERB --help; без неё — список команд."
    ),
    "group": "раздел",
    "what": "что делает",
    "Conversation": "Обмен",
    "Connecting": "Подключение",
    "Clients": "Клиенты",
    "Targets": "Цели",
    "Time": "Время",
    "Watching": "Наблюдение",
    "General": "Общее",
}
