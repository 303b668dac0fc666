/* The compiled core: the hot path of the library, in C.

   The model, in one page. Each C type here is the base of a Python class, and holds the state that the hot path needs;
   everything else, every error and every unusual case is the Python class's. The module of the same name (`kernel.py`,
   `connection.py`, ...) is the same code in Python: it serves where this one was not compiled, and it is the oracle.

     Kernel      the state and the loop of a readiness engine.              kernel.c   engines/readiness.py
     Task, Slot  a coroutine, and a descriptor where coroutines wait.       kernel.c   engines/kernel_task.py
     Side        one direction of a descriptor in an asyncio loop.          side.c     engines/asyncio.py
     StreamCore  a connected socket: its descriptor, and how it ended.      stream.c   streams/socket_stream.py
     SessionCore bytes received and not decoded, bytes encoded and unsent.  session.c  connection/session.py
     framing     one decoder and one encoder for each native framing.       framing.c  framing/
     MessageReader    frames of WebSocket, joined to messages.              websocket.c  websocket/messages.py
     datagrams   a batch of them in one system call.                        datagram.c  datagrams/bound_socket.py
     receive_blocking one recv(2) that waits, in plain code.                blocking.c   connection/receiver.py
     ConnectionCore   `async for` and `send`: one awaitable, no frame.      connection.c  connection/connection.py

   How a message is received. `Next` (what `__anext__` returns) decodes one from the session's buffer. Without a whole
   one it parks the running task at the descriptor and yields, as any wait of the engine does. Resumed, it calls
   recv(2), decodes, and returns the message. It raises nothing by itself: whatever is unusual (the end, an error, a
   frame over the limit, an observer, TLS) makes it await the Python coroutine that does the whole thing.

   How one is sent. `send` encodes into the session's outgoing buffer and asks the engine to call `flush` at the end of
   the turn; `flush` calls send(2) once. What the system does not take is handed to the Python sender.

   References: a callee may run any Python code, which may close, reframe or cancel. So nothing borrowed is used after
   such a call, and the state is read anew. */

#ifndef SOCKETKIT_CORE_H
#define SOCKETKIT_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdbool.h>

enum { READ = 1, WRITE = 2 };

enum { TURN_TASKS = 32 }; /* as in kernel.py */

enum { TURN_MESSAGES = 512 }; /* as in connection.py */
enum { SPARE_SIZE = 256 * 1024 }; /* bytes of the receive buffer that all connections share */
enum { RECEIVE_SIZE = 64 * 1024 };  /* bytes that recv(2) is asked for at least */
enum { LARGEST_KEPT_TEXT = 512 };   /* characters */
enum { KEPT_COUNT = TURN_TASKS };   /* as many connections are flushed in a row */

/* The names of attributes and methods that are looked up at run time. */
#define NAMES(X)                                                                                                       \
    X(append) X(arm) X(busy_error) X(check) X(close) X(disarm) X(flush) X(is_over) X(lose) X(poll) X(popleft) X(send_large)        \
    X(throw) X(turn) X(wait) X(_finish) X(_flush_soon) X(_foreign) X(_leave_native) X(_report)         \
    X(_run_calls) X(_run_timers) X(_send_in_python) X(_send_many_in_python) X(_iterate_in_python)      \
    X(_iterate_many_in_python) X(_receive_in_python) X(_receive_many_in_python) X(_sender)

#define NAME_OF(name) NAME_##name,
enum { NAMES(NAME_OF) NAME_COUNT };
#undef NAME_OF

/* Bytes with room at the end. */
typedef struct {
    char *data;
    Py_ssize_t capacity;
    Py_ssize_t start; /* the first byte of the oldest message that was not received */
    Py_ssize_t next;  /* the first byte that was not decoded */
    Py_ssize_t end;   /* behind the last byte */
} Buffer;

/* What was encoded and not sent. */
typedef struct {
    Buffer bytes;
    Py_ssize_t count; /* messages */
} Outgoing;

typedef enum { NOT_NATIVE, CHUNKS, LINES, DELIMITED, FIXED, LENGTH, VARINT, NETSTRING, OCTETS, WEBSOCKET } Kind;
typedef enum { BYTES, UTF8, ASCII, LATIN1 } Encoding;

/* A native framing, with its options. */
typedef struct {
    Kind kind;
    Encoding encoding;    /* of `LINES` */
    Py_ssize_t max_size;  /* bytes of payload; of `FIXED`: of each message */
    char end[16];         /* `LINES`, `DELIMITED`: is sent behind a message; `DELIMITED` looks for it too */
    int end_size;
    int width, before, after, counted; /* `LENGTH`: bytes, as in framing/length.py */
    bool is_little, keep_header;
    bool is_masked; /* `WEBSOCKET`: the peer masks what it sends, or we do: one of the two */
} Format;

/* The last short texts that were received one by one, by all connections. The handler's variable still has the last one
   when the next is decoded, so there are two. */
typedef struct {
    PyObject *texts[2];
    int oldest;
} RecentTexts;

/* What the module owns: one for each interpreter. */
typedef struct {
    PyTypeObject *kernel_type, *task_type, *slot_type, *stream_type, *session_type, *connection_type, *next_type,
        *batches_type, *reading_type, *done_type, *loop_type, *side_type, *wait_type, *reader_type;
    PyObject *nothing; /* returned where there is no message */
    PyObject *parked; /* yielded by every wait of a readiness engine */
    PyObject *done;   /* the coroutine of a verb that has nothing to wait for */
    PyObject *free_next[8]; /* `Next` objects to be used again: one is made for each message */
    int free_next_count;
    const Format *format; /* the last one that was shared */
    char *arena;      /* where datagrams are received; NULL: none were */
    char *spare;      /* a buffer of SPARE_SIZE bytes that the next recv(2) may use; NULL: it is in use */
    Outgoing *kept[KEPT_COUNT]; /* empty ones, with buffers of at most RECEIVE_SIZE bytes */
    int kept_count;
    RecentTexts recent;
    int forks;          /* children of fork(2) between the process that has imported this and us */
    PyObject *names[NAME_COUNT];
} CoreState;

extern struct PyModuleDef core_module;

/* kernel.c */

typedef struct {
    PyObject_HEAD
    PyObject *coroutine, *context, *ready, *slot, *event, *deadline, *timer, *error;
    int direction;
    char cancelling, done;
} Task;

typedef struct {
    PyObject_HEAD
    PyObject *reader, *writer;
    int armed;
} Slot;

typedef struct {
    PyObject_HEAD
    CoreState *core;
    PyObject *now, *ready, *soon, *timers, *current, *poller;
    Slot **slots; /* by descriptor; NULL: it has none */
    long slots_size;
    int epoll; /* the descriptor of epoll(7); -1: the poller is asked */
    PyObject *unsent[TURN_TASKS]; /* connections with a batch that leaves at the end of the turn */
    int unsent_count;
} Kernel;

int add_kernel(PyObject *module, CoreState *core);
Slot *watch_readable(Kernel *self, int descriptor);

/* Have `flush_connection` called at the end of the turn. False: by `call_soon`, there are too many. */
static inline bool flush_later(Kernel *self, PyObject *connection)
{
    if (self->unsent_count == TURN_TASKS)
        return false;
    self->unsent[self->unsent_count++] = Py_NewRef(connection);
    return true;
}

/* framing.c */

/* A frame in a buffer. */
typedef struct {
    Py_ssize_t begin, size; /* the payload */
    Py_ssize_t next;        /* where the frame behind it starts */
} Frame;

typedef enum {
    FAILED = -1, /* an exception is set */
    PART,        /* more bytes are needed */
    WHOLE,
    UNUSUAL, /* the Python codec is to look at it: an error, an over-long frame */
} Found;

int read_format(PyObject *description, Format *format);
Found skip_frame(const Format *format, Buffer *buffer, Py_ssize_t *scanned);
Found decode_message(RecentTexts *recent, const Format *format, Buffer *buffer, Py_ssize_t *scanned, PyObject **message);
Py_ssize_t decode_lines(const Format *format, Buffer *buffer, Py_ssize_t *scanned, PyObject **lines, Py_ssize_t limit);
Found write_message(const Format *format, Buffer *buffer, PyObject *message);
Found encode_text(Encoding encoding, PyObject *message, const char **data, Py_ssize_t *size, PyObject **owner);
Found write_messages(const Format *format, Buffer *buffer, PyObject *const *messages, Py_ssize_t count);
PyObject *core_encode_lines(PyObject *module, PyObject *args);
int make_room(Buffer *buffer, Py_ssize_t size);
PyObject *read_utf8(const char *data, Py_ssize_t size);

/* websocket.c */

Found find_websocket(const Format *format, const char *data, Py_ssize_t size, Py_ssize_t *checked, Frame *frame);
PyObject *read_websocket(const Format *format, const char *data, const Frame *frame);
Found write_websocket(const Format *format, Buffer *buffer, PyObject *message);
PyObject *core_apply_mask(PyObject *module, PyObject *args);
PyObject *core_encode_frame(PyObject *module, PyObject *args);
int add_websocket(PyObject *module, CoreState *core);

/* stream.c */

typedef struct {
    PyObject_HEAD
    int descriptor;     /* -1: closed */
    int largest;        /* bytes that recv(2) is asked for at most */
    int born;           /* `forks` when it was made */
    int size, streak;   /* of socket_stream.py: bytes that recv(2) is asked for there, and full reads in a row */
    char ended;         /* the end of stream or an error was met */
    char eof_sent, stopped; /* of socket_stream.py: whether our direction has ended, and the other was shut down */
    char may_have_more; /* the last recv(2) returned all that it was asked for */
    char is_sending;    /* a call sends, or its error is not recorded yet */
    char blocks;        /* the descriptor blocks: a call that must not says so */
    char is_plain;      /* the calls are the system's own: recv(2) and send(2) */
} Stream;

/* Whether the system's calls may be made here for a stream: it is open, and no copy in a child of fork(2). */
static inline bool is_open_here(const CoreState *core, const Stream *stream)
{
    return stream->is_plain && stream->descriptor >= 0 && stream->born == core->forks;
}

int add_stream(PyObject *module, CoreState *core);
int report_loss(CoreState *core, Stream *stream, int number);
char *take_spare(CoreState *core);
void give_back_spare(CoreState *core, char *data);

/* session.c */

typedef struct {
    PyObject_HEAD
    CoreState *core;
    PyObject *waiting, *outgoing, *encode_one, *end, *drain_waiters;
    Py_ssize_t outgoing_size, received_size, sent_size, received_count, sent_count;
    char has_backlog, has_work, is_receiving, is_draining, is_refused;
    char has_left; /* received bytes go to the codec, although the framing is native */
    const Format *format; /* that of all sessions with the same framing: see `share_format` */
    Outgoing *out;        /* never NULL: `nothing_out` where nothing is to be sent */
    Buffer in;
    Py_ssize_t scanned;   /* no frame of `in` ends before here; or its text was checked so far */
} Session;

int add_session(PyObject *module, CoreState *core);
void release_format(const Format *format);

/* Whether received bytes are kept and decoded here. Chunks are not: they are received as they are. */
static inline bool decodes(const Session *session)
{
    return session->format->kind > CHUNKS && !session->has_left;
}

/* Decode one message. Its bytes stay where they are, before `next`. `recent`: as of `decode_message`. */
static inline Found next_message(Session *self, RecentTexts *recent, PyObject **message)
{
    Found found = decode_message(recent, self->format, &self->in, &self->scanned, message);
    self->received_count += found == WHOLE;
    return found;
}

/* Messages that were decoded and not received. The list is made when it is asked for. */
static inline Py_ssize_t waiting_count(const Session *self)
{
    return self->waiting == NULL ? 0 : PyList_GET_SIZE(self->waiting);
}

/* Let go the bytes of messages that were all received. */
static inline void drop_consumed(Session *self)
{
    if (waiting_count(self) == 0)
        self->in.start = self->in.next;
}

/* Record whether bytes are left to decode, for the Python session. */
static inline void note_backlog(Session *self)
{
    self->has_backlog = self->has_work = self->in.next < self->in.end;
}

extern Outgoing nothing_out; /* is read only: an idle connection has no buffer of its own */

int begin_outgoing(Session *self);
void empty_outgoing(Session *self);
void free_outgoing(Outgoing *out);

/* The buffer of what is to be sent. NULL with an exception: there is no memory. */
static inline Buffer *outgoing_buffer(Session *self)
{
    return self->out == &nothing_out && begin_outgoing(self) < 0 ? NULL : &self->out->bytes;
}

/* Bytes in it. */
static inline Py_ssize_t out_size(const Session *self)
{
    return self->out->bytes.end;
}

/* Nothing is to be sent after all: no buffer is held, and no flush is awaited. */
static inline void keep_if_filled(Session *self)
{
    if (out_size(self) == 0)
        empty_outgoing(self);
}

/* Decode the next message for a receiver of one. */
static inline Found decode_one(Session *self, PyObject **message)
{
    drop_consumed(self);
    Found found = next_message(self, &self->core->recent, message);
    note_backlog(self); /* what is unusual is among these bytes */
    return found;
}

int prepare_receive(Session *self, Py_ssize_t size);
int append_received(Session *self, const char *data, Py_ssize_t size);
void settle_buffer(Session *self);
PyObject *take_messages(Session *self, Py_ssize_t limit, Found *found);
int encode_messages(Session *self, PyObject *messages);
PyObject *take_one(Session *self);
PyObject *pop_waiting(Session *self);
PyObject *outgoing_of(Session *self);

/* side.c */

typedef struct {
    PyObject_HEAD
    CoreState *core;
    PyObject *loop, *readers, *soon; /* asyncio's loop; the sides that read, by descriptor; calls at the turn's end */
    int gathered;                    /* calls since the turn began */
    int trial;                       /* turns until the number of calls in one is measured again */
    char inside;                     /* in a callback of ours, at whose end the turn ends */
    char is_called;                  /* the loop will call `_run_called` */
    char is_crowded;                 /* the calls wait for the loop's next turn */
} Loop;

typedef struct {
    PyObject_HEAD
    CoreState *core;
    Loop *engine;
    PyObject *callback, *context, *error, *deadline;
    PyObject *blocking; /* `_asyncio_future_blocking`: True: a task takes it for a future; None: nothing does */
    int descriptor;
    char armed, busy;
    char is_yielded; /* the task has it */
} Side;

/* One wait at a side, as an iterator. */
typedef struct {
    PyObject_HEAD
    Side *side;
} SideWait;

int add_side(PyObject *module, CoreState *core);
PyObject *start_side(Loop *engine, int descriptor, PyObject **yielded);

/* blocking.c */

PyObject *core_receive_blocking(PyObject *module, PyObject *const *args, Py_ssize_t args_count);

/* connection.c */

int add_connection(PyObject *module, CoreState *core);
int flush_connection(PyObject *connection);
int flush_connection_later(PyObject *connection);
void free_kept_next(CoreState *core);
PyObject *core_broadcast(PyObject *module, PyObject *args);
PyObject *core_push(PyObject *module, PyObject *args);
PyObject *core_read_messages(PyObject *module, PyObject *args);

/* datagram.c */

#if defined(__linux__) || defined(__FreeBSD__)
PyObject *core_receive_batch(PyObject *module, PyObject *args);
PyObject *core_send_batch(PyObject *module, PyObject *args);
#endif

/* Whether an attribute that Python may set holds nothing. */
static inline bool is_none(PyObject *value)
{
    return value == NULL || value == Py_None;
}

PyObject *take_exception(void);
void restore_exception(PyObject *error);
PyObject *raise_thrown(PyObject *const *args, Py_ssize_t count);
PyObject *itself(PyObject *self);
int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **place);

#endif
