"""The Russian words of the measured tables: their headings and rows, then phrases within a cell."""

from __future__ import annotations

MEASURED = {
    "what": "что измерено",
    "A peer that answers only after our end of stream (like `sort`) gets its answer printed: client.": (
        "Собеседник отвечает лишь после нашего конца потока (как `sort`): клиент печатает ответ."
    ),
    "A peer that answers only after our end of stream gets its answer printed: listener.": (
        "Собеседник отвечает лишь после нашего конца потока: слушающий печатает ответ."
    ),
    "An empty datagram is a datagram: the server continues.": (
        "Пустая датаграмма — тоже датаграмма: сервер продолжает."
    ),
    "One program for each of eight clients at once: all are answered, and all clients exit with 0.": (
        "По программе на каждого из восьми клиентов сразу: ответ получают все, и все клиенты завершаются с 0."
    ),
    "No output is lost from a program that answers a second after its input has ended.": (
        "Вывод программы, которая отвечает через секунду после конца ввода, не теряется."
    ),
    "Two clients are echoed at the same time.": "Эхо двум клиентам одновременно.",
    "A listener for one client refuses a second, ends with the first, and leaves the port free.": (
        "Слушающий для одного клиента отказывает второму, завершается с первым и освобождает порт."
    ),
    "Two UDP peers get separate answers from one server.": (
        "Двое собеседников по UDP получают от одного сервера каждый свой ответ."
    ),
    "With a limit of two clients a third is not served until one has left.": (
        "При пределе в два клиента третьего не обслуживают, пока один не ушёл."
    ),
    "After 300 clients, some of them lost, a server has as many descriptors open as before.": (
        "После 300 клиентов, часть которых пропала, у сервера открыто столько же дескрипторов, сколько было."
    ),
    "The same for a relay, for clients whose target is down, and for clients that are denied.": (
        "То же для ретранслятора, для клиентов, чья цель не работает, и для отвергнутых клиентов."
    ),
    "An answer that comes 1.2 s after our end of stream is printed, without any option.": (
        "Ответ, пришедший через 1,2 с после нашего конца потока, печатается без всяких ключей."
    ),
    "When a limit on that wait is reached, standard error and the exit status report it.": (
        "Если это ожидание ограничено и предел достигнут, об этом говорят стандартный поток ошибок и код завершения."
    ),
    "After 50 clients of a program no zombie process is left.": (
        "После 50 клиентов программы не остаётся ни одного процесса-зомби."
    ),
    "SIGTERM while listening removes the socket file, and a restart works at once.": (
        "SIGTERM во время ожидания удаляет файл сокета, и перезапуск сразу удаётся."
    ),
    "A regular file at the socket's path is kept, and the message names it.": (
        "Обычный файл на месте сокета сохраняется, и сообщение его называет."
    ),
    "A live socket file is refused with a message, and continues to work.": (
        "Файл работающего сокета: отказ с сообщением, и тот сокет работает дальше."
    ),
    "A socket file that another process has put at our path is not removed at our end.": (
        "Файл сокета, который на наше место поставил другой процесс, в конце не удаляется."
    ),
    "A stale socket file is replaced.": "Файл сокета, оставшийся от прежнего запуска, заменяется.",
    "A socket file has the requested permissions from the moment it accepts connections.": (
        "У файла сокета заданные права с той минуты, когда он принимает соединения."
    ),
    "Refused, no such file, a directory, a file, a datagram socket: a message of its own for each, and no crash.": (
        "Отказ, нет файла, каталог, файл, сокет датаграмм: на каждый случай своё сообщение, и ничего не падает."
    ),
    "A client over UNIX datagrams binds its own path, so that it can be answered, and removes it at the end.": (
        "Клиент датаграмм UNIX привязывает собственный путь, чтобы ему могли ответить, и в конце удаляет его."
    ),
    "A second server on the same port is refused with a message.": (
        "Второму серверу на том же порту отказывают с сообщением."
    ),
    "A server that closed first can be restarted on its port at once (TIME_WAIT).": (
        "Сервер, закрывший соединение первым, можно сразу запустить на том же порту (TIME_WAIT)."
    ),
    "Listening on every interface accepts both families, IPv4 only or IPv6 only, as requested.": (
        "Слушающий на всех интерфейсах принимает оба семейства, только IPv4 или только IPv6, как задано."
    ),
    "Of a name with addresses of both families, the one with a listener is used.": (
        "Если у имени адреса обоих семейств, используется тот, на котором слушают."
    ),
    "A relay forwards an answer that comes 1.2 s after the client's end of stream.": (
        "Ретранслятор передаёт ответ, пришедший через 1,2 с после конца потока клиента."
    ),
    "A relay forwards the end of stream after the last byte, and only after the client's end.": (
        "Ретранслятор передаёт конец потока после последнего байта и только после конца клиента."
    ),
    "A missing, too large or invalid port: the exit status for usage, one line that quotes it, no traceback.": (
        "Порт не указан, слишком велик или неверен: код ошибки в командной строке, одна строка с цитатой, "
        "без трассировки."
    ),
    "With port 0 the chosen port is printed to standard error once connections are accepted.": (
        "С портом 0 выбранный порт печатается в стандартный поток ошибок, когда соединения уже принимаются."
    ),
    "An address that does not answer fails after the given connect timeout, with a failing exit status.": (
        "Если адрес не отвечает, за заданное время подключения — неудача с ненулевым кодом."
    ),
    "The connect timeout does not limit the wait for an answer.": (
        "Предел подключения не ограничивает ожидания ответа."
    ),
    "A client that is started before its server retries until it is connected.": (
        "Клиент, запущенный раньше сервера, повторяет попытки, пока не подключится."
    ),
    "After two retries the exit status is that of a refusal.": ("После двух повторов код завершения — как при отказе."),
    "A server with an idle timeout ends an idle connection, and serves the next.": (
        "Сервер с пределом простоя завершает простаивающее соединение и обслуживает следующее."
    ),
    "Idle timeout: traffic in one direction keeps the connection, then silence ends it.": (
        "Предел простоя: данные в одну сторону сохраняют соединение, затем молчание его завершает."
    ),
    "A listener without a client ends after a limit, with a failing exit status.": (
        "Слушающий, к которому никто не пришёл, по истечении предела завершается с ненулевым кодом."
    ),
    "A relay with one direction ended uses no CPU time.": (
        "Ретранслятор с одним законченным направлением не тратит процессорного времени."
    ),
    "An idle client uses no CPU time: connected, after our end of stream, after the peer's.": (
        "Простаивающий клиент не тратит процессорного времени: подключённый, после нашего конца потока, "
        "после конца собеседника."
    ),
    "32 MiB from standard input to a peer that starts late arrive complete.": (
        "32 МиБ из стандартного ввода доходят целиком до собеседника, который начал читать поздно."
    ),
    "32 MiB through a relay to a reader that starts late arrive complete, in less memory than that.": (
        "32 МиБ через ретранслятор доходят целиком до опоздавшего читателя, и памяти на это нужно меньше."
    ),
    "LF is sent as CR LF; a CR LF stays one, also split across reads; received data is unchanged.": (
        "LF уходит как CR LF; CR LF остаётся собой, даже разрезанный чтениями; полученное не меняется."
    ),
    "A relay forwards a datagram of any size as one datagram, and so its answer.": (
        "Ретранслятор передаёт датаграмму любого размера одной датаграммой, и ответ на неё тоже."
    ),
    "After both ends of stream the client exits within two seconds.": (
        "После обоих концов потока клиент завершается за две секунды."
    ),
    "With line framing, empty lines and a last line without an end are delivered.": (
        "При построчном кадрировании доходят пустые строки и последняя строка без конца."
    ),
    "A dump marks the direction: the same bytes look different in each.": (
        "В записи обмена видно направление: одни и те же байты в каждом выглядят по-разному."
    ),
    "A dump of both directions goes to standard error, and standard output carries only the payload.": (
        "Запись обоих направлений идёт в стандартный поток ошибок, в стандартном выводе только данные."
    ),
    "At the highest verbosity standard output carries only the payload.": (
        "При самом подробном выводе в стандартном выводе только данные."
    ),
    "A line of one of three guests reaches the other two, in order, and not its sender.": (
        "Строка одного из трёх гостей доходит до двух других, по порядку, а до отправителя — нет."
    ),
    "One guest does not read: another receives all of eight megabytes, and the room continues.": (
        "Один гость не читает: другой получает все восемь мегабайтов, и комната работает дальше."
    ),
    "A line in three packets is one message with one name; two lines in one packet are two.": (
        "Строка в трёх пакетах — одно сообщение с одним именем; две строки в одном пакете — два."
    ),
    "Control characters of a guest are not forwarded raw, as they could hide its name.": (
        "Управляющие символы гостя не передаются как есть: они могли бы скрыть его имя."
    ),
    "Joining and leaving are announced to the other guests.": "О входе и выходе сообщают остальным гостям.",
    "When the peer has ended, a client whose input stays open and silent exits after a given limit.": (
        "Когда собеседник закончил, клиент с открытым молчащим вводом завершается по истечении заданного предела."
    ),
    "A line of four megabytes without an end does not take as much memory, and the room continues.": (
        "Строка в четыре мегабайта без конца не занимает столько же памяти, и комната работает дальше."
    ),
    "A name in use is refused.": "В занятом имени отказывают.",
    "Fifty lines pasted at once all arrive.": "Пятьдесят строк, вставленных разом, доходят все.",
    "Guests that are lost in mid-message disturb no other.": ("Гости, пропавшие посреди сообщения, никому не мешают."),
    "A client on both lists is denied.": "Клиента из обоих списков отвергают.",
    "With `-v` a denied client is reported on standard error.": (
        "С `-v` об отвергнутом клиенте сообщает стандартный поток ошибок."
    ),
    "With a deny list, those clients are closed before a byte is read, and others are served.": (
        "По списку запрещённых их закрывают раньше, чем прочитан хоть байт, а остальных обслуживают."
    ),
    "With an allow list, other clients are closed before a byte is read, and the server continues.": (
        "По списку разрешённых остальных закрывают раньше, чем прочитан хоть байт, и сервер продолжает."
    ),
    "Receive-only: no byte is sent, and the client ends when the peer ends.": (
        "Только приём: не отправляется ни байта, и клиент завершается вместе с собеседником."
    ),
    "Send-only: nothing is printed, and the client ends at the end of its input.": (
        "Только отправка: ничего не печатается, и клиент завершается в конце ввода."
    ),
    "A relay closes its client at once while the target is down, and serves it when the target is up.": (
        "Пока цель не работает, ретранслятор сразу закрывает клиента, а когда работает — обслуживает."
    ),
    "A relay on a port in use names the port.": "Ретранслятор на занятом порту называет порт.",
    "After a wait without success the command is not run, the exit status is 124, and standard output is empty.": (
        "Если дождаться не удалось, команда не запускается, код завершения 124, стандартный вывод пуст."
    ),
    "After the wait the command replaces the process: its exit status and signals are its own.": (
        "После ожидания команда заменяет процесс: код завершения и сигналы — её собственные."
    ),
    "A port can be waited for until nothing listens on it.": "Можно ждать, пока порт не освободится.",
    "Several targets are tried in parallel under one limit; a silent one does not extend it.": (
        "Несколько целей пробуются одновременно с одним пределом; молчащая его не продлевает."
    ),
    "Exit status 0 after a normal end.": "Код завершения 0 после обычного конца.",
    "The documented exit status for an unknown option.": "Обещанный код завершения при неизвестном ключе.",
    "The documented exit status when the connection is refused.": ("Обещанный код завершения при отказе в соединении."),
    "The documented exit status when the peer resets: client.": (
        "Обещанный код завершения при сбросе собеседником: клиент."
    ),
    "The documented exit status when the peer resets: listener.": (
        "Обещанный код завершения при сбросе собеседником: слушающий."
    ),
    "For a client that a signal ends, the shell sees 128 plus the signal's number.": (
        "У клиента, завершённого сигналом, оболочка видит 128 плюс номер сигнала."
    ),
    "When a program run for a client fails, the exit status is its own.": (
        "Если программа, запущенная для клиента, не удалась, код завершения — её."
    ),
    "When standard output is closed by its reader, the client ends without a message and closes the connection.": (
        "Если стандартный вывод закрыл его читатель, клиент завершается без сообщения и закрывает соединение."
    ),
    "A service manager's listening socket is served and left open; one meant for another process is not used.": (
        "Слушающий сокет менеджера служб обслуживается и не закрывается; предназначенный другому процессу не берётся."
    ),
    "The peer sends its greeting only after our line and end of stream: it is printed, and the ends stay in order.": (
        "Собеседник здоровается лишь после нашей строки и конца потока: это печатается, концы идут по порядку."
    ),
    "Terminal modes and O_NONBLOCK are restored at the end.": (
        "Режимы терминала и O_NONBLOCK в конце восстанавливаются."
    ),
    "A limit on the wait after our end of stream holds, also when the peer never ends.": (
        "Предел ожидания после нашего конца потока действует, и если собеседник не заканчивает никогда."
    ),
    "Through a relay either direction may end while the other continues without limit.": (
        "Через ретранслятор одно направление может кончиться, а другое — продолжаться без предела."
    ),
    "behaviour": "поведение",
    "**yes, of those that apply**": "**yes, из применимых**",
    "no descriptors for 1 s: serves again": "1 с без дескрипторов: снова обслуживает",
    "whole lines before a reset": "целые строки до сброса",
    "half-close answered": "ответ после полузакрытия",
    "reads nothing: memory; is cut off": "ничего не читает: память; отключён ли",
    "silent: cut off": "молчит: отключён",
    "handler raises: ends its own only": "исключение в обработчике: кончается только своё",
    "workload": "нагрузка",
    "bar": "цель",
    "best": "лучшее",
    "median": "медиана",
    "Ping-pong, 64 B lines, 50 connections": "Запрос-ответ, строки по 64 Б, 50 соединений",
    "64 B lines, 50 connections, 32 under way on each": "Строки по 64 Б, 50 соединений, по 32 в пути",
    "64 B lines one way, 4 connections": "Строки по 64 Б в одну сторону, 4 соединения",
    "64 KiB messages (chunks), 10 connections": "Сообщения по 64 КиБ (chunks), 10 соединений",
    "Blocking client: a round trip of 64 B": "Блокирующий клиент: туда и обратно 64 Б",
    "Blocking client: lines of 64 B iterated": "Блокирующий клиент: цикл по строкам в 64 Б",
    "64 B lines over TLS, 8 connections, 32 under way": "Строки по 64 Б поверх TLS, 8 соединений, 32 в пути",
    "WebSocket ping-pong, 64 B text, 50 connections": "WebSocket, запрос-ответ, текст 64 Б, 50 соединений",
    "WebSocket, 64 B text, 50 connections, 32 under way": "WebSocket, текст 64 Б, 50 соединений, 32 в пути",
    "Broadcast of 64 B lines to 100 connections": "Рассылка строк по 64 Б на 100 соединений",
    "Relay: ping-pong, 64 B, 1 connection": "Ретранслятор: запрос-ответ, 64 Б, 1 соединение",
    "Relay: throughput of one connection": "Ретранслятор: пропускная способность одного соединения",
    "1 000 lines encoded in one go": "1 000 строк, закодированных за раз",
    "Idle connections, each after one line": "Простаивающие соединения, каждое после одной строки",
    "Starting": "Запуск",
    "three processes need three cores": "трём процессам нужны три ядра",
    "met": "достигнуто",
    "**missed**": "**не достигнуто**",
    "**not met**": "**не достигнуто**",
    "ours, ns a message": "у нас, нс на сообщение",
    "the other": "другое",
    "ns a message": "нс на сообщение",
    "ratio": "отношение",
    "messages a second": "сообщений в секунду",
    "encode 1 000": "кодирование по 1 000",
    "encode each": "кодирование по одному",
    "promise": "обещание",
}

PHRASES = {
    "cost of ours": "стоимость нашего",
    "speed of ours": "скорость нашего",
    "deliveries of ours": "доставки нашего",
    "memory of ours": "память нашего",
    "line protocol by hand": "строковый протокол вручную",
    "raw protocol": "протокол без кадрирования",
    "by batches": "пачками",
    "(the limit)": "(предел)",
    ", and one more who reads nothing": ", и ещё один, который не читает",
    "lines of bytes": "строки байтами",
    "bare socket": "голый сокет",
    "compiled core": "компилированное ядро",
    " / direct": " / прямо",
    "until it is there": "до готовности",
    ", over python -c pass": " сверх python -c pass",
    "lines of log": "строк журнала",
    "s CPU": "с процессора",
    "**no**: it ends, with its connections": "**no**: кончается, вместе с соединениями",
    "**no**: all end": "**no**: кончаются все",
    "**answer lost**": "**ответ потерян**",
    "answered": "ответил",
    "status 0": "код 0",
    "As run with": "Выполнено с",
    "after ": "через ",
    " of as many bytes": " стольких же bytes",
    " over ready lines": " по готовым строкам",
    "/ ours, epoll": "/ наш, epoll",
    ", on Linux": ", на Linux",
    " of ": " из ",
}
