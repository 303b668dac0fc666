"""The Russian words of the table of options, in its order; then what its narrow columns say."""

from __future__ import annotations

OPTIONS = {
    "How long opening may take, over all addresses of the name; 10s as ncat has it, long enough for two "
    "lost SYNs; none: as long as the system tries, often two minutes.": (
        "Сколько времени есть на открытие, на все адреса имени; 10s, как у ncat: хватает на два потерянных "
        "SYN; none: сколько ждёт система, часто две минуты."
    ),
    "How long one address of a name has to answer before the next is tried beside it; 250ms as RFC 8305 "
    "has it; 0s: all at once; none: one after another.": (
        "Сколько времени один адрес имени может не отвечать, прежде чем параллельно пробуется следующий; "
        "250ms, как в RFC 8305; 0s: все сразу; none: по одному."
    ),
    "How often to try again to connect: a count or forever, and after which pauses, as in "
    "5,first=100ms,maximum=10s; none: not at all, the program decides.": (
        "Сколько раз повторять попытку подключиться: число или forever, и с какими паузами: "
        "5,first=100ms,maximum=10s; none: ни разу, решает программа."
    ),
    "How long closing may wait to send what is left; 5s: a peer that reads at all has read it by then.": (
        "Сколько закрытие может ждать отправки оставшегося; 5s: собеседник, который вообще читает, к этому "
        "времени всё прочёл."
    ),
    "How long the handlers of a server that stops may go on; 10s, as a container has.": (
        "Сколько ещё могут работать обработчики останавливающегося сервера; 10s, как у контейнера."
    ),
    "How long a server still accepts connections after SIGINT or SIGTERM, while its readiness is down "
    "and load balancers turn away; 0s: not at all, as there may be no load balancer.": (
        "Сколько сервер ещё принимает соединения после SIGINT или SIGTERM, пока его готовность снята и "
        "балансировщики уходят; 0s: нисколько, балансировщика может и не быть."
    ),
    "Bytes that may be queued before `send` waits; 64KiB, as asyncio: enough for a full pipe.": (
        "Сколько байтов может стоять в очереди, прежде чем send начнёт ждать; 64KiB, как в asyncio: хватает, "
        "чтобы заполнить канал."
    ),
    "Bytes that one recv(2) may return; 256KiB: more gains no speed, less costs system calls.": (
        "Сколько байтов может вернуть один recv(2); 256KiB: с большим не быстрее, с меньшим больше системных вызовов."
    ),
    "Send a PROXY header of this version first, to a server that accepts it; none: no header.": (
        "Сначала послать заголовок PROXY этой версии серверу, который его принимает; none: заголовка нет."
    ),
    "Connect through these proxies, nearest first: socks5, socks4a or http, as "
    "socks5://user:password@host:1080, joined by commas; env: as ALL_PROXY, HTTPS_PROXY and NO_PROXY "
    "say; none: directly.": (
        "Подключаться через эти прокси, начиная с ближайшего: socks5, socks4a или http, как "
        "socks5://user:password@host:1080, через запятую; env: по ALL_PROXY, HTTPS_PROXY и NO_PROXY; none: "
        "прямо."
    ),
    "Send small messages at once (TCP_NODELAY); yes: messages are batched already, Nagle would only delay.": (
        "Отправлять короткие сообщения сразу (TCP_NODELAY); yes: сообщения и так собраны в пачки, Nagle лишь "
        "задержал бы их."
    ),
    "Probe an idle peer (SO_KEEPALIVE); yes: else a lost peer is never noticed.": (
        "Проверять молчащего собеседника (SO_KEEPALIVE); yes: иначе пропавшего собеседника не заметить никогда."
    ),
    "Idle time before the first probe, in whole seconds; 60s: most NAT tables and firewalls keep an entry longer.": (
        "Сколько молчания до первой проверки, в целых секундах; 60s: большинство таблиц NAT и межсетевых "
        "экранов хранят запись дольше."
    ),
    "Time between probes, in whole seconds; 10s: one or two lost packets do not end a connection.": (
        "Пауза между проверками, в целых секундах; 10s: один-два потерянных пакета не кончают соединения."
    ),
    "Unanswered probes before the peer counts as lost; 6: two minutes in all.": (
        "Сколько проверок без ответа, чтобы считать собеседника пропавшим; 6: всего две минуты."
    ),
    "Connections that may wait to be accepted; none: as many as the system allows (somaxconn).": (
        "Сколько соединений может ждать приёма; none: сколько разрешает система (somaxconn)."
    ),
    "A UNIX socket at which a new process of the same program takes over the listening sockets, while "
    "the old one drains; none: a restart refuses connections for a moment.": (
        "Сокет UNIX, через который новый процесс той же программы забирает слушающие сокеты, пока прежний "
        "дорабатывает; none: при перезапуске на мгновение отказывают."
    ),
    "Bind to an address with connections in TIME-WAIT (SO_REUSEADDR); none: yes on POSIX, where it is safe.": (
        "Привязываться к адресу, у которого есть соединения в TIME-WAIT (SO_REUSEADDR); none: да на POSIX, "
        "где это безопасно."
    ),
    "Let several servers share the port (SO_REUSEPORT); no: a second server is mostly a mistake.": (
        "Позволить нескольким серверам делить порт (SO_REUSEPORT); no: второй сервер — чаще всего ошибка."
    ),
    "File mode of a UNIX socket, octal, from its creation on; none: as the umask says.": (
        "Права файла сокета UNIX, восьмеричные, с самого его создания; none: как велит umask."
    ),
    "Whether an IPv6 socket accepts IPv6 alone (IPV6_V6ONLY); yes: tcp:// has a socket for each family; "
    "no: one IPv6 socket for both, where the address means every interface.": (
        "Принимает ли сокет IPv6 только IPv6 (IPV6_V6ONLY); yes: у tcp:// свой сокет на каждое семейство; no: "
        "один сокет IPv6 на оба, если адрес означает все интерфейсы."
    ),
    "Local address, a number with or without a port (10.0.0.1, [::1]:5000, :5000); none: as the routes say.": (
        "Локальный адрес, числом, с портом или без (10.0.0.1, [::1]:5000, :5000); none: по маршрутам."
    ),
    "Interface for all packets, as eth0 (SO_BINDTODEVICE, Linux); none: as the routes say.": (
        "Интерфейс для всех пакетов, например eth0 (SO_BINDTODEVICE, Linux); none: по маршрутам."
    ),
    "Mark on each packet for firewall and routes (SO_MARK, Linux; needs CAP_NET_ADMIN); none: no mark.": (
        "Метка на каждом пакете для межсетевого экрана и маршрутов (SO_MARK, Linux; нужен CAP_NET_ADMIN); "
        "none: без метки."
    ),
    "Routers that a packet may pass (IP_TTL, IPV6_UNICAST_HOPS); none: the system's default, mostly 64.": (
        "Сколько маршрутизаторов может пройти пакет (IP_TTL, IPV6_UNICAST_HOPS); none: по умолчанию в "
        "системе, чаще всего 64."
    ),
    "Traffic class of each packet, DSCP and ECN (IP_TOS, IPV6_TCLASS); none: 0, the system's default.": (
        "Класс трафика каждого пакета, DSCP и ECN (IP_TOS, IPV6_TCLASS); none: 0, по умолчанию в системе."
    ),
    "How long sent data may stay unacknowledged before the peer counts as lost (TCP_USER_TIMEOUT); none: "
    "as the system retries, a quarter of an hour.": (
        "Сколько отправленное может оставаться без подтверждения, прежде чем собеседник считается пропавшим "
        "(TCP_USER_TIMEOUT); none: сколько повторяет система, четверть часа."
    ),
    "The system's send buffer in bytes (SO_SNDBUF; Linux doubles it, and cuts it at wmem_max); none: it "
    "grows as needed.": (
        "Буфер отправки в системе, в байтах (SO_SNDBUF; Linux удваивает его и обрезает по wmem_max); none: "
        "растёт по необходимости."
    ),
    "The system's receive buffer in bytes (SO_RCVBUF; Linux doubles it, and cuts it at rmem_max); none: "
    "it grows as needed.": (
        "Приёмный буфер в системе, в байтах (SO_RCVBUF; Linux удваивает его и обрезает по rmem_max); none: "
        "растёт по необходимости."
    ),
    "Connections at a time; 10000: more are treated as `overload` says.": (
        "Соединений одновременно; 10000: с лишними поступают, как велит overload."
    ),
    "What happens to connections beyond `max_connections` and `accept_rate`; wait: they wait in the "
    "backlog, not in memory; reject: they are accepted and reset at once, so that the clients try "
    "elsewhere.": (
        "Что бывает с соединениями сверх max_connections и accept_rate; wait: ждут в очереди на приём, а не "
        "в памяти; reject: принимаются и сразу сбрасываются, чтобы клиенты шли в другое место."
    ),
    "Connections of one peer's address at a time (IPv6: of its /64, which one machine has), the next is "
    "reset; none: clients behind a NAT or a proxy share one address.": (
        "Соединений с одного адреса одновременно (IPv6: с его сети /64, которая бывает у одной машины), "
        "следующее сбрасывается; none: у клиентов за NAT или прокси общий адрес."
    ),
    "Connections a second that are accepted, after a burst of one second's worth; none: no limit.": (
        "Сколько соединений принимается в секунду, после запаса на одну секунду; none: без предела."
    ),
    "Networks whose connections are accepted, others are reset before a byte is read; none: all.": (
        "Сети, соединения из которых принимаются; остальные сбрасываются раньше, чем прочитан хоть один "
        "байт; none: все."
    ),
    "Networks whose connections are reset, whatever `allow` says; none: no network.": (
        "Сети, соединения из которых сбрасываются, что бы ни говорил allow; none: ни одной."
    ),
    "Networks of the proxies that may connect, each connection with a PROXY header first; all others are "
    "reset; none: no header is read, as it must not be guessed (proxy-protocol.txt, 2).": (
        "Сети прокси, которым можно подключаться, каждое соединение с заголовком PROXY в начале; остальные "
        "сбрасываются; none: заголовок не читается, потому что угадывать его нельзя (proxy-protocol.txt, 2)."
    ),
    "How long a peer may take, in all, for what comes before the first message (a PROXY header, TLS); "
    "10s: three lost packets; none: no limit.": (
        "Сколько всего времени есть у собеседника на то, что идёт до первого сообщения (заголовок PROXY, "
        "TLS); 10s: три потерянных пакета; none: без предела."
    ),
    "How long a connection stays open on which the peer neither sends a byte nor takes a queued one; "
    "none: no limit, as keepalive finds a lost peer; a datagram server's session ends after 60s.": (
        "Сколько остаётся открытым соединение, на котором собеседник не шлёт ни байта и не берёт ни одного "
        "из очереди; none: без предела, пропавшего найдёт keepalive; сеанс сервера датаграмм кончается через "
        "60s."
    ),
    "How long the peer may take nothing of what is unsent; then sending raises, and nothing can be sent "
    "any more; none: no limit.": (
        "Сколько собеседник может ничего не брать из неотправленного; затем отправка бросает ошибку, и "
        "больше ничего отправить нельзя; none: без предела."
    ),
    "Where a multicast group is joined or sent to: name, number or address; none: as the routes say.": (
        "Где вступают в группу или шлют ей: имя, номер или адрес; none: по маршрутам."
    ),
    "Deliver what is sent to a group to members on this machine too; yes, as every system has it.": (
        "Доставлять посланное группе и участникам на этой машине; yes, как в любой системе."
    ),
    "Allow sending to a broadcast address (SO_BROADCAST); no: to reach every machine is rarely meant.": (
        "Разрешить отправку на широковещательный адрес (SO_BROADCAST); no: обратиться ко всем машинам хотят редко."
    ),
    "Datagrams of one session that may wait for its handler; 256, as a socket of its own would hold; "
    "more are dropped and counted, or wait at a UNIX sender.": (
        "Сколько датаграмм одного сеанса может ждать обработчика; 256, сколько вместил бы свой сокет; лишние "
        "отбрасываются и считаются, а у UNIX отправитель ждёт."
    ),
    "The same in bytes; 256KiB; all sessions of an address together have 64 times as much.": (
        "То же в байтах; 256KiB; на все сеансы адреса вместе — в 64 раза больше."
    ),
    "Protocol of a raw socket (ip://), by name or number, as icmp; ip:// needs it.": (
        "Протокол сырого сокета (ip://), именем или номером, например icmp; для ip:// обязателен."
    ),
    "Speak TLS at this address (a program may give a `TLS`); no: unless it is tls://.": (
        "Говорить по TLS на этом адресе (программа может передать `TLS`); no: если это не tls://."
    ),
    "File or folder of the trusted authorities; none: those of the system.": (
        "Файл или папка доверенных удостоверяющих центров; none: системные."
    ),
    "File of our certificate with its chain (PEM); none: clients need none, servers do.": (
        "Файл нашего сертификата с его цепочкой (PEM); none: клиентам он не нужен, серверам нужен."
    ),
    "File of its private key; none: it is in the file of the certificate.": (
        "Файл его закрытого ключа; none: ключ в том же файле, что и сертификат."
    ),
    "Check the peer's certificate, and a server's name; none: yes, but for a pin without ca, which decides alone.": (
        "Проверять сертификат собеседника и имя сервера; none: да, кроме случая, когда задан pin без ca: он "
        "решает один."
    ),
    "The name that the server's certificate must have; none: the host of the address.": (
        "Имя, которое должно быть в сертификате сервера; none: узел из адреса."
    ),
    "Application protocols to agree on, joined by commas, best first; none: no ALPN.": (
        "Прикладные протоколы для согласования, через запятую, лучший первым; none: без ALPN."
    ),
    "Accept only clients with a certificate of `ca`; no: clients mostly have none.": (
        "Принимать только клиентов с сертификатом, подписанным `ca`; no: у клиентов его чаще всего нет."
    ),
    "The peer's key must have this SHA-256, as sha256:HEX; none: any certified key.": (
        "У ключа собеседника должен быть такой SHA-256, вида sha256:HEX; none: любой удостоверенный ключ."
    ),
    "Make a certificate at the start, for clients that pin it; no: no authority certifies it.": (
        "Создать сертификат при запуске, для клиентов, которые сверяют отпечаток; no: его не удостоверяет ни "
        "один центр."
    ),
    "Speak WebSocket at this address (RFC 6455); no: unless it is ws://, wss:// or ws+unix://.": (
        "Говорить по WebSocket на этом адресе (RFC 6455); no: если это не ws://, wss:// или ws+unix://."
    ),
    "Subprotocols to agree on, joined by commas, best first; none: none is asked for, or agreed on.": (
        "Подпротоколы для согласования, через запятую, лучший первым; none: никакого не просят и не согласуют."
    ),
    "The web page's origin that a client sends, as https://example.com; none: no page asks, so no Origin is sent.": (
        "Origin веб-страницы, который посылает клиент, например https://example.com; none: страницы нет, и "
        "Origin не посылается."
    ),
    "Origins of the web pages that may connect, joined by commas, or * for all; none: no Origin, or one "
    "with the host that was asked for, else any page could use its reader's cookies here.": (
        "Origin веб-страниц, которым можно подключаться, через запятую, или * для всех; none: запросы без "
        "Origin или с тем узлом, к которому обращаются, иначе любая страница воспользовалась бы cookie "
        "своего читателя."
    ),
    "Further header fields of the request, as `Name: value`, joined by \\|; none: those that WebSocket needs.": (
        "Дополнительные поля заголовка запроса, вида `Name: value`, через \\|; none: только нужные WebSocket."
    ),
    "Compression of messages where the peer agrees (RFC 7692); deflate: as browsers do; none: no "
    "compression, which saves up to 300 KB of memory for each connection.": (
        "Сжатие сообщений, если собеседник согласен (RFC 7692); deflate: как в браузерах; none: без сжатия, "
        "что сберегает до 300 КБ памяти на соединение."
    ),
    "How long a peer may be silent, while we wait for it, before it is sent a ping; 20s: proxies mostly "
    "cut after 60s; none: no pings.": (
        "Сколько собеседник может молчать, пока мы его ждём, прежде чем ему пошлют ping; 20s: прокси чаще "
        "всего обрывают через 60s; none: без ping."
    ),
    "How long a peer may be silent after a ping before the connection counts as lost; 20s: as websockets "
    "has it; none: no limit.": (
        "Сколько собеседник может молчать после ping, прежде чем соединение считается потерянным; 20s, как в "
        "websockets; none: без предела."
    ),
    "Bytes of the largest message that is received, after compression is undone; 1MiB: as websockets has it.": (
        "Размер наибольшего принимаемого сообщения в байтах, после распаковки; 1MiB, как в websockets."
    ),
    "How messages lie in the bytes, by name; none: what the program says, else chunks.": (
        "Кадрирование, по имени; none: что скажет программа, иначе chunks."
    ),
    "Which engine waits, by name; none: the one that runs, else the best that is installed.": (
        "Каким движком ждать, по имени; none: тем, что уже работает, иначе лучшим из установленных."
    ),
    "header fields": "поля заголовка",
    "retry": "повторы",
    "file mode": "права файла",
    "origins": "origin, несколько",
    "address": "адрес",
    "networks": "сети",
    "proxies": "прокси",
    "time": "время",
    "names": "имена",
    "name": "имя",
    "pin": "отпечаток",
    "for": "где",
    "kind": "вид",
    "all": "везде",
    "client": "клиент",
    "server": "сервер",
    "listener": "слушающий",
    "client, listener": "клиент, слушающий",
    "stream": "поток",
    "internet": "TCP, UDP, IP",
    "raw": "сырой",
    "UDP, raw": "UDP, сырой",
    "TCP client": "клиент TCP",
    "TCP listener": "слушающий TCP",
    "internet client": "клиент TCP, UDP, IP",
    "internet listener": "слушающий TCP, UDP, IP",
    "UNIX listener": "слушающий UNIX",
    "TLS listener": "слушающий TLS",
    "WebSocket client": "клиент WebSocket",
    "WebSocket listener": "слушающий WebSocket",
    "datagram listener": "слушающий датаграмм",
    "connection listener": "слушающий соединений",
    "stream client": "клиент потока",
    "stream listener": "слушающий потока",
}
