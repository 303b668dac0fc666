/* `async for` and `send`. `connection.py` is the same in Python.

   `Next` is what `__anext__` returns: a coroutine without a frame. It is used up when it has returned a message. */

#include "core.h"
#include "docs.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: Python ignores SIGPIPE */
#endif

enum { USUAL_CHUNK = 8 * 1024, LARGE_CHUNK = 96 * 1024 }; /* as in streams/socket_stream.py */

typedef struct {
    PyObject_HEAD
    CoreState *core;
    Session *session;
    Stream *stream;   /* NULL: not a plain socket, Python moves the bytes */
    PyObject *engine; /* waits; NULL: none any more */
    PyObject *soon;   /* calls at the end of the turn */
    Py_ssize_t large; /* bytes from which on a batch leaves at once */
    Py_ssize_t high;  /* bytes unsent from which on a sender waits */
    int run;          /* messages that were received since the last wait */
    int chunk_size;   /* bytes that recv(2) is asked for, of `CHUNKS` */
    char can_receive; /* whether receiving here is right: no observer, no idle timer, an engine that does not block */
    char can_send;    /* whether sending here is */
    char blocks;      /* the engine blocks */
    char is_kernel, is_loop; /* the engine is a `Kernel`, or a `Loop` */
    char is_closed, end_sent, server_closing; /* of connection.py */
} Connection;

typedef enum { ITERATE, ITERATE_MANY, RECEIVE, RECEIVE_MANY } Wanted;

static inline bool wants_many(Wanted wanted)
{
    return wanted == ITERATE_MANY || wanted == RECEIVE_MANY;
}

typedef struct {
    PyObject_HEAD
    Connection *connection;
    PyObject *waiter;   /* the engine's own awaitable, which waits; NULL: parked here, or not waiting */
    PyObject *delegate; /* the Python coroutine that has taken over */
    Wanted wanted;
    char is_waiting; /* has marked the session as receiving */
    char is_over;
    char is_tracked; /* by the garbage collector: since it waits */
} Next;

/* The Python sender, as a new reference. It is made when it is asked for. */
static PyObject *sender_of(Connection *self)
{
    return PyObject_GetAttr((PyObject *)self, self->core->names[NAME__sender]);
}

/* Receiving. */

/* Whether bytes that are there may be decoded here. */
static bool can_decode(Connection *self)
{
    Session *session = self->session;
    return decodes(session) && !session->is_receiving && is_none(session->end);
}

/* Whether bytes may be received here. */
static bool can_receive(Connection *self)
{
    Session *session = self->session;
    return self->can_receive && session->format->kind != NOT_NATIVE && !session->has_left && !session->is_receiving &&
           is_none(session->end) && self->stream != NULL && is_open_here(self->core, self->stream) &&
           !self->stream->ended && !self->stream->may_have_more;
}

/* Receive a chunk into a new object. */
static Found receive_chunk(Connection *self, PyObject **message)
{
    Stream *stream = self->stream;
    Py_ssize_t size = Py_MIN(self->chunk_size, stream->largest);
    PyObject *data = PyBytes_FromStringAndSize(NULL, size);
    if (data == NULL)
        return FAILED;
    Py_ssize_t count = recv(stream->descriptor, PyBytes_AS_STRING(data), size, MSG_DONTWAIT);
    if (count <= 0) {
        int number = errno;
        Py_DECREF(data);
        errno = count == 0 ? 0 : number;
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? PART : UNUSUAL;
    }
    stream->may_have_more = count == size;
    if (count == size)
        self->chunk_size = count >= LARGE_CHUNK ? SPARE_SIZE : LARGE_CHUNK;
    else if (count < USUAL_CHUNK)
        self->chunk_size = USUAL_CHUNK;
    else if (count < LARGE_CHUNK)
        self->chunk_size = LARGE_CHUNK;
    if (_PyBytes_Resize(&data, count) < 0)
        return FAILED;
    self->session->received_size += count;
    self->session->received_count++;
    *message = data;
    return WHOLE;
}

/* Receive bytes into the session's buffer. UNUSUAL: the end (errno 0), or an error. */
static Found receive_bytes(Connection *self)
{
    Stream *stream = self->stream;
    Session *session = self->session;
    if (prepare_receive(session, RECEIVE_SIZE) < 0)
        return FAILED;
    Buffer *in = &session->in;
    Py_ssize_t size = Py_MIN(in->capacity - in->end, stream->largest);
    Py_ssize_t count = recv(stream->descriptor, in->data + in->end, size, MSG_DONTWAIT);
    if (count > 0) {
        in->end += count;
        session->received_size += count;
        stream->may_have_more = count == size;
        return WHOLE;
    }
    int number = count == 0 ? 0 : errno;
    settle_buffer(session);
    errno = number;
    return number == EAGAIN || number == EWOULDBLOCK || number == EINTR ? PART : UNUSUAL;
}

/* What the bytes that are there give: a message, or a list of them. */
static Found decode(Next *self, PyObject **result)
{
    Connection *connection = self->connection;
    Session *session = connection->session;
    if (wants_many(self->wanted)) {
        drop_consumed(session);
        Found found;
        PyObject *messages = take_messages(session, TURN_MESSAGES, &found);
        if (messages == NULL)
            return FAILED;
        if (PyList_GET_SIZE(messages) > 0) {
            *result = messages;
            found = WHOLE;
        } else {
            Py_DECREF(messages);
        }
        if (found == WHOLE)
            connection->run += TURN_MESSAGES / 4; /* a batch is worth many messages */
        note_backlog(session);
        return found;
    }
    Found found = decode_one(session, result);
    connection->run += found == WHOLE;
    return found;
}

/* Take the oldest message of `waiting`, or all. */
static PyObject *take_waiting(Next *self)
{
    Session *session = self->connection->session;
    if (!wants_many(self->wanted))
        return pop_waiting(session);
    PyObject *waiting = session->waiting;
    Py_ssize_t size = PyList_GET_SIZE(waiting);
    PyObject *messages = PyList_GetSlice(waiting, 0, size);
    if (messages == NULL || PyList_Reverse(messages) < 0 || PyList_SetSlice(waiting, 0, size, NULL) < 0)
        Py_CLEAR(messages);
    return messages;
}

static void stop_waiting(Next *self)
{
    if (self->is_waiting) {
        self->is_waiting = false;
        self->connection->session->is_receiving = false;
    }
    Py_CLEAR(self->waiter);
}

/* Let Python do the whole thing from here on. */
static PySendResult hand_over(Next *self, PyObject **result)
{
    static const int methods[] = {NAME__iterate_in_python, NAME__iterate_many_in_python, NAME__receive_in_python,
                                  NAME__receive_many_in_python};
    PyObject *connection = (PyObject *)self->connection;
    stop_waiting(self);
    self->connection->run = 1; /* the message that it returns */
    PyObject *coroutine =
        PyObject_CallMethodNoArgs(connection, self->connection->core->names[methods[self->wanted]]);
    if (coroutine == NULL)
        return PYGEN_ERROR;
    self->delegate = coroutine;
    PySendResult outcome = PyIter_Send(coroutine, Py_None, result);
    if (outcome != PYGEN_NEXT) {
        self->is_over = true;
        Py_CLEAR(self->delegate);
    }
    return outcome;
}

/* Park the running task of a readiness engine. False: the engine's own wait is to do it, or to raise; or there is an
   exception. */
static bool park(Connection *self, PyObject **result)
{
    Kernel *kernel = self->is_kernel ? (Kernel *)self->engine : NULL;
    if (kernel == NULL || is_none(kernel->current))
        return false;
    Task *task = (Task *)kernel->current;
    if (task->cancelling)
        return false; /* the engine's own wait raises it */
    Slot *slot = watch_readable(kernel, self->stream->descriptor);
    if (slot == NULL)
        return false;
    Py_XSETREF(slot->reader, Py_NewRef(task));
    Py_XSETREF(task->slot, (PyObject *)slot); /* the reference moves here */
    task->direction = READ;
    *result = Py_NewRef(self->core->parked);
    return true;
}

/* Wait until the descriptor is readable. PYGEN_RETURN: it is. */
static PySendResult wait_readable(Next *self, PyObject **result)
{
    Connection *connection = self->connection;
    connection->run = 0;
    connection->session->is_receiving = self->is_waiting = true;
    if (park(connection, result))
        return PYGEN_NEXT;
    if (PyErr_Occurred())
        return PYGEN_ERROR;
    if (connection->is_loop && connection->engine != NULL) {
        self->waiter = start_side((Loop *)connection->engine, connection->stream->descriptor, result);
        if (self->waiter != NULL)
            return PYGEN_NEXT;
        if (PyErr_Occurred())
            return PYGEN_ERROR;
    }
    PyObject *descriptor = PyLong_FromLong(connection->stream->descriptor), *direction = PyLong_FromLong(READ);
    PyObject *awaitable = NULL;
    if (descriptor != NULL && direction != NULL)
        awaitable = PyObject_CallMethodObjArgs(connection->engine, connection->core->names[NAME_wait], descriptor,
                                               direction, NULL);
    Py_XDECREF(descriptor);
    Py_XDECREF(direction);
    if (awaitable == NULL)
        return PYGEN_ERROR;
    /* Awaitables of the engines are generators marked as coroutines, or have `__await__`. */
    PyAsyncMethods *async = Py_TYPE(awaitable)->tp_as_async;
    if (PyGen_CheckExact(awaitable) || async == NULL || async->am_await == NULL) {
        self->waiter = awaitable;
    } else {
        self->waiter = async->am_await(awaitable);
        Py_DECREF(awaitable);
        if (self->waiter == NULL)
            return PYGEN_ERROR;
    }
    PySendResult outcome = PyIter_Send(self->waiter, Py_None, result);
    if (outcome == PYGEN_RETURN) {
        Py_CLEAR(*result);
        Py_CLEAR(self->waiter);
    }
    return outcome;
}

static PySendResult finish(Next *self, PyObject *message, PyObject **result)
{
    stop_waiting(self);
    self->is_over = true;
    *result = message;
    return PYGEN_RETURN;
}

static PySendResult fail(Next *self)
{
    stop_waiting(self);
    self->is_over = true;
    return PYGEN_ERROR;
}

/* Whether the others are to run now: asked when many messages were received without a wait. -1: an exception is set. */
static int is_turn_over(Connection *self)
{
    if (self->run < TURN_MESSAGES)
        return 0;
    PyObject *sender = sender_of(self);
    PyObject *turn = sender == NULL ? NULL : PyObject_GetAttr(sender, self->core->names[NAME_turn]);
    PyObject *answer = turn == NULL ? NULL : PyObject_CallMethodNoArgs(turn, self->core->names[NAME_is_over]);
    int is_over = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(sender);
    Py_XDECREF(turn);
    Py_XDECREF(answer);
    if (is_over == 0)
        self->run = 0;
    return is_over;
}

/* Go on until there is a message, or a wait. */
static PySendResult proceed(Next *self, PyObject **result)
{
    Connection *connection = self->connection;
    Session *session = connection->session;
    bool is_readable = self->is_waiting; /* resumed */
    for (;;) {
        PyObject *message = NULL;
        if (!self->is_waiting) {
            if (waiting_count(session) > 0) {
                connection->run++;
                message = take_waiting(self);
                return message == NULL ? fail(self) : finish(self, message, result);
            }
        } else {
            stop_waiting(self); /* others may look now; nothing runs in between */
        }
        int is_over = is_turn_over(connection);
        if (is_over != 0)
            return is_over < 0 ? fail(self) : hand_over(self, result);
        Found found = PART;
        if (can_decode(connection)) {
            found = decode(self, &message);
            if (found == WHOLE)
                return finish(self, message, result);
        }
        if (found == PART && !can_receive(connection))
            return hand_over(self, result);
        if (found == PART && is_readable) {
            is_readable = false;
            if (session->format->kind == CHUNKS) {
                found = receive_chunk(connection, &message);
                if (found == WHOLE && wants_many(self->wanted)) {
                    PyObject *list = PyList_New(1);
                    if (list == NULL) {
                        Py_DECREF(message);
                        return fail(self);
                    }
                    PyList_SET_ITEM(list, 0, message);
                    message = list;
                }
                if (found == WHOLE)
                    return finish(self, message, result);
            } else {
                found = receive_bytes(connection);
                if (found == WHOLE)
                    continue;
            }
            if (found == UNUSUAL) {
                if (errno != 0 && report_loss(connection->core, connection->stream, errno) < 0)
                    return fail(self);
                return hand_over(self, result);
            }
        } else if (found == UNUSUAL) { /* for the codec */
            PyObject *left =
                PyObject_CallMethodNoArgs((PyObject *)session, connection->core->names[NAME__leave_native]);
            if (left == NULL)
                return fail(self);
            Py_DECREF(left);
            return hand_over(self, result);
        }
        if (found == FAILED)
            return fail(self);
        settle_buffer(session);
        PySendResult outcome = wait_readable(self, result);
        if (outcome == PYGEN_ERROR)
            return fail(self);
        if (outcome == PYGEN_NEXT)
            return outcome;
        is_readable = true;
    }
}

/* The usual case: nothing is to be done first, and one message is wanted. PART: `proceed` sees what there is. */
static inline Found take_ready(Next *self, PyObject **message)
{
    Connection *connection = self->connection;
    Session *session = connection->session;
    if (self->is_waiting || wants_many(self->wanted) || waiting_count(session) > 0 ||
        connection->run >= TURN_MESSAGES || !can_decode(connection))
        return PART;
    Found found = decode_one(session, message);
    connection->run += found == WHOLE;
    return found;
}

static PySendResult next_send(Next *self, PyObject *value, PyObject **result)
{
    *result = NULL;
    if (self->is_over) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return PYGEN_ERROR;
    }
    PySendResult outcome;
    if (self->delegate != NULL) {
        outcome = PyIter_Send(self->delegate, value, result);
        if (outcome != PYGEN_NEXT) {
            self->is_over = true;
            Py_CLEAR(self->delegate);
        }
    } else if (self->waiter != NULL && (outcome = PyIter_Send(self->waiter, value, result)) != PYGEN_RETURN) {
        if (outcome == PYGEN_ERROR)
            outcome = fail(self);
    } else {
        Py_CLEAR(self->waiter);
        Py_CLEAR(*result);
        switch (take_ready(self, result)) {
        case WHOLE:
            self->is_over = true;
            return PYGEN_RETURN;
        case FAILED:
            return fail(self);
        default:
            outcome = proceed(self, result);
        }
    }
    if (outcome == PYGEN_NEXT && !self->is_tracked) {
        PyObject_GC_Track(self);
        self->is_tracked = true;
    }
    return outcome;
}

/* As an iterator: a value, or StopIteration with the message. */
static PyObject *as_iteration(PySendResult outcome, PyObject *result)
{
    if (outcome == PYGEN_NEXT)
        return result;
    if (outcome == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        if (stop != NULL)
            PyErr_SetObject(PyExc_StopIteration, stop);
        Py_XDECREF(stop);
        Py_DECREF(result);
    }
    return NULL;
}

static PyObject *next_iternext(Next *self)
{
    PyObject *result;
    PySendResult outcome = next_send(self, Py_None, &result);
    return as_iteration(outcome, result);
}

static PyObject *next_send_method(Next *self, PyObject *value)
{
    PyObject *result;
    PySendResult outcome = next_send(self, value, &result);
    return as_iteration(outcome, result);
}

static PyObject *next_throw(Next *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *inner = self->delegate != NULL ? self->delegate : self->waiter;
    if (inner != NULL && !self->is_over) {
        PyObject *method = PyObject_GetAttr(Py_NewRef(inner), self->connection->core->names[NAME_throw]);
        PyObject *result = method == NULL ? NULL : PyObject_Vectorcall(method, args, count, NULL);
        Py_XDECREF(method);
        Py_DECREF(inner);
        if (result != NULL)
            return result; /* it waits on */
        if (self->delegate == NULL && PyErr_ExceptionMatches(PyExc_StopIteration)) {
            PyErr_Clear(); /* the wait has ended in spite of it */
            Py_CLEAR(self->waiter);
            PySendResult outcome = proceed(self, &result);
            return as_iteration(outcome, result);
        }
        stop_waiting(self);
        self->is_over = true;
        Py_CLEAR(self->delegate);
        return NULL;
    }
    stop_waiting(self);
    self->is_over = true;
    return raise_thrown(args, count);
}

static PyObject *next_close(Next *self, PyObject *unused)
{
    (void)unused;
    PyObject *inner = Py_XNewRef(self->delegate != NULL ? self->delegate : self->waiter);
    PyObject *result = inner == NULL ? Py_NewRef(Py_None)
                                     : PyObject_CallMethodNoArgs(inner, self->connection->core->names[NAME_close]);
    Py_XDECREF(inner);
    stop_waiting(self);
    self->is_over = true;
    Py_CLEAR(self->delegate);
    return result;
}

static int next_traverse(Next *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->connection);
    Py_VISIT(self->waiter);
    Py_VISIT(self->delegate);
    return 0;
}

static int next_clear(Next *self)
{
    Py_CLEAR(self->waiter);
    Py_CLEAR(self->delegate);
    return 0; /* the connection stays: the methods need it */
}

static void next_dealloc(Next *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->is_tracked)
        PyObject_GC_UnTrack(self);
    stop_waiting(self);
    Py_CLEAR(self->delegate);
    CoreState *core = self->connection->core;
    Py_CLEAR(self->connection);
    if (core->free_next_count < (int)(sizeof core->free_next / sizeof *core->free_next)) {
        core->free_next[core->free_next_count++] = (PyObject *)self; /* it keeps its reference to the type */
        return;
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef next_methods[] = {
    {"send", (PyCFunction)next_send_method, METH_O, "As of a coroutine."},
    {"throw", (PyCFunction)(void (*)(void))next_throw, METH_FASTCALL, "As of a coroutine."},
    {"close", (PyCFunction)next_close, METH_NOARGS, "As of a coroutine."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot next_slots[] = {
    {Py_am_await, itself},           {Py_am_send, next_send},     {Py_tp_iter, itself},
    {Py_tp_iternext, next_iternext}, {Py_tp_methods, next_methods}, {Py_tp_traverse, next_traverse},
    {Py_tp_clear, next_clear},       {Py_tp_dealloc, next_dealloc}, {0, NULL},
};

static PyType_Spec next_spec = {
    .name = "socketkit._core._native.Next",
    .basicsize = sizeof(Next),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = next_slots,
};

static PyObject *new_next(Connection *self, Wanted wanted)
{
    CoreState *core = self->core;
    Next *next;
    if (core->free_next_count > 0) {
        next = (Next *)core->free_next[--core->free_next_count];
#ifdef Py_REF_DEBUG
        _Py_NewReference((PyObject *)next);
#else
        Py_SET_REFCNT((PyObject *)next, 1);
#endif
    } else {
        next = PyObject_GC_New(Next, core->next_type);
        if (next == NULL)
            return NULL;
    }
    next->connection = (Connection *)Py_NewRef(self);
    next->waiter = next->delegate = NULL;
    next->wanted = wanted;
    next->is_waiting = next->is_over = next->is_tracked = false;
    return (PyObject *)next; /* it is tracked when it waits: mostly it does not */
}

/* Reading: an iterator of messages in plain code. */

typedef struct {
    PyObject_HEAD
    Session *session;
    PyObject *refill; /* returns whether there is a message now; False: the end of stream */
} Reading;

static PyObject *reading_iternext(Reading *self)
{
    for (;;) {
        PyObject *message = take_one(self->session);
        if (message != NULL || PyErr_Occurred())
            return message;
        PyObject *refilled = PyObject_CallNoArgs(self->refill);
        if (refilled == NULL)
            return NULL;
        Py_DECREF(refilled);
        if (refilled == Py_False)
            return NULL;
    }
}

static int reading_traverse(Reading *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->session);
    Py_VISIT(self->refill);
    return 0;
}

static void reading_dealloc(Reading *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->session);
    Py_CLEAR(self->refill);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot reading_slots[] = {
    {Py_tp_iter, itself},
    {Py_tp_iternext, reading_iternext},
    {Py_tp_traverse, reading_traverse},
    {Py_tp_dealloc, reading_dealloc},
    {0, NULL},
};

static PyType_Spec reading_spec = {
    .name = "socketkit._core._native.Reading",
    .basicsize = sizeof(Reading),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = reading_slots,
};

PyObject *core_read_messages(PyObject *module, PyObject *args)
{
    CoreState *core = PyModule_GetState(module);
    PyObject *session, *refill;
    if (!PyArg_ParseTuple(args, "O!O:read_messages", core->session_type, &session, &refill))
        return NULL;
    Reading *reading = PyObject_GC_New(Reading, core->reading_type);
    if (reading == NULL)
        return NULL;
    reading->session = (Session *)Py_NewRef(session);
    reading->refill = Py_NewRef(refill);
    PyObject_GC_Track(reading);
    return (PyObject *)reading;
}

/* Batches: what `batches` returns, an iterator by lists. */

typedef struct {
    PyObject_HEAD
    Connection *connection;
} Batches;

static PyObject *batches_anext(Batches *self)
{
    return new_next(self->connection, ITERATE_MANY);
}

static int batches_traverse(Batches *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->connection);
    return 0;
}

static void batches_dealloc(Batches *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->connection);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot batches_slots[] = {
    {Py_am_aiter, itself},
    {Py_am_anext, batches_anext},
    {Py_tp_traverse, batches_traverse},
    {Py_tp_dealloc, batches_dealloc},
    {0, NULL},
};

static PyType_Spec batches_spec = {
    .name = "socketkit._core._native.Batches",
    .basicsize = sizeof(Batches),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = batches_slots,
};

/* Free what was kept to be used again. */
void free_kept_next(CoreState *core)
{
    while (core->free_next_count > 0) {
        PyObject *next = core->free_next[--core->free_next_count];
        PyTypeObject *type = Py_TYPE(next);
        type->tp_free(next);
        Py_DECREF(type);
    }
}

/* Done: a coroutine that has ended, for a verb that has nothing to wait for. */

static PySendResult done_send(PyObject *self, PyObject *value, PyObject **result)
{
    (void)self, (void)value;
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PyObject *done_iternext(PyObject *self)
{
    (void)self;
    return NULL; /* StopIteration */
}

static PyObject *done_send_method(PyObject *self, PyObject *value)
{
    (void)self, (void)value;
    PyErr_SetNone(PyExc_StopIteration);
    return NULL;
}

static PyObject *done_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)self;
    return raise_thrown(args, count);
}

static PyObject *done_close(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return Py_NewRef(Py_None);
}

static PyMethodDef done_methods[] = {
    {"send", done_send_method, METH_O, "As of a coroutine."},
    {"throw", (PyCFunction)(void (*)(void))done_throw, METH_FASTCALL, "As of a coroutine."},
    {"close", done_close, METH_NOARGS, "As of a coroutine."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot done_slots[] = {
    {Py_am_await, itself},           {Py_am_send, done_send},       {Py_tp_iter, itself},
    {Py_tp_iternext, done_iternext}, {Py_tp_methods, done_methods}, {0, NULL},
};

static PyType_Spec done_spec = {
    .name = "socketkit._core._native.Done",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = done_slots,
};

/* Sending. */

static bool can_flush(Connection *self)
{
    Session *session = self->session;
    return self->can_send && self->stream != NULL && is_open_here(self->core, self->stream) &&
           !session->is_draining && (session->outgoing == NULL || PyObject_Size(session->outgoing) == 0) &&
           (is_none(session->drain_waiters) || PyObject_Size(session->drain_waiters) == 0);
}

/* Call send(2) with all of it. WHOLE: all was taken; PART: `*taken` bytes; UNUSUAL: Python knows of the error now. */
static Found send_bytes(Connection *self, const char *data, Py_ssize_t size, Py_ssize_t *taken)
{
    Session *session = self->session;
    Stream *stream = (Stream *)Py_NewRef(self->stream);
    stream->is_sending = true; /* until the error is recorded: another thread may receive the end behind it */
    Py_ssize_t count = send(stream->descriptor, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    int number = count < 0 ? errno : 0;
    *taken = count < 0 ? 0 : count;
    session->sent_size += *taken;
    session->outgoing_size -= *taken;
    Found found = WHOLE;
    if (count != size)
        found = PART;
    if (number != 0 && number != EAGAIN && number != EWOULDBLOCK && number != EINTR) {
        PyObject *result = PyObject_CallMethod((PyObject *)self, "_send_failed", "is", number, strerror(number));
        found = result == NULL ? FAILED : UNUSUAL;
        Py_XDECREF(result);
    }
    stream->is_sending = false;
    Py_DECREF(stream);
    return found;
}

static PyObject *ask_sender(Connection *self, int name)
{
    PyObject *sender = sender_of(self);
    PyObject *result = sender == NULL ? NULL : PyObject_CallMethodNoArgs(sender, self->core->names[name]);
    Py_XDECREF(sender);
    return result;
}

static int call_sender(Connection *self, int name)
{
    PyObject *result = ask_sender(self, name);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Hand the batch to the system, as far as it takes it now. */
static int flush(Connection *self)
{
    Session *session = self->session;
    if (!can_flush(self))
        return call_sender(self, NAME_flush);
    Buffer *out = &session->out->bytes;
    if (out->end == 0) { /* empty messages of `CHUNKS` were sent */
        empty_outgoing(session);
        return 0;
    }
    Py_ssize_t taken;
    Found found = send_bytes(self, out->data, out->end, &taken);
    if (found == FAILED)
        return -1;
    if (found == UNUSUAL)
        return 0; /* what was unsent is dropped, and the next `send` raises */
    if (found == WHOLE) {
        empty_outgoing(session);
        return 0;
    }
    memmove(out->data, out->data + taken, out->end - taken);
    out->end -= taken;
    return call_sender(self, NAME_flush); /* which waits in the background */
}

static PyObject *connection_flush_soon(Connection *self, PyObject *unused)
{
    (void)unused;
    return flush(self) < 0 ? NULL : Py_NewRef(Py_None);
}

/* A batch that has become large leaves now; what the sender is to await says whether there is room for more, and whether
   it is the others' turn. The clock is read once in about 512 KiB. */
static PyObject *send_large(Connection *self, Py_ssize_t size)
{
    Session *session = self->session;
    self->run = (int)Py_MIN(TURN_MESSAGES, self->run + TURN_MESSAGES / 16 + size / 2048);
    if (out_size(session) > 0 && flush(self) < 0)
        return NULL;
    if (self->run < TURN_MESSAGES && !session->is_refused && out_size(session) == 0 && can_flush(self) &&
        session->outgoing_size < self->high)
        return Py_NewRef(self->core->done);
    PyObject *awaitable = ask_sender(self, NAME_send_large);
    if (awaitable == self->core->done)
        self->run = 0;
    return awaitable;
}

int flush_connection(PyObject *connection)
{
    return flush((Connection *)connection);
}

static int flush_at_end_of_turn(Connection *self)
{
    if (self->is_kernel && self->engine != NULL && flush_later((Kernel *)self->engine, (PyObject *)self))
        return 0;
    PyObject *callback = PyObject_GetAttr((PyObject *)self, self->core->names[NAME__flush_soon]);
    PyObject *result = callback == NULL ? NULL : PyObject_CallOneArg(self->soon, callback);
    Py_XDECREF(callback);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int flush_connection_later(PyObject *connection)
{
    return flush_at_end_of_turn((Connection *)connection);
}

/* Send a large chunk from where it is. NULL without an exception: it is to be copied. */
static PyObject *send_chunk(Connection *self, PyObject *message)
{
    Session *session = self->session;
    Py_ssize_t size = PyBytes_GET_SIZE(message), taken;
    if (out_size(session) > 0 || !can_flush(self))
        return NULL;
    session->sent_count++;
    session->outgoing_size += size;
    Found found = send_bytes(self, PyBytes_AS_STRING(message), size, &taken);
    if (found == FAILED)
        return NULL;
    if (found == PART) {
        PyObject *rest = PyBytes_FromStringAndSize(PyBytes_AS_STRING(message) + taken, size - taken);
        PyObject *outgoing = rest == NULL ? NULL : outgoing_of(session);
        PyObject *result =
            outgoing == NULL ? NULL : PyObject_CallMethodOneArg(outgoing, self->core->names[NAME_append], rest);
        Py_XDECREF(outgoing);
        Py_XDECREF(rest);
        Py_XDECREF(result);
        if (result == NULL)
            return NULL;
    }
    return send_large(self, size);
}

static PyObject *send_in_python(Connection *self, PyObject *message)
{
    return PyObject_CallMethodOneArg((PyObject *)self, self->core->names[NAME__send_in_python], message);
}

/* Where the engine blocks, the turn ends at once. */
static PyObject *send_blocking(Connection *self, PyObject *message)
{
    Session *session = self->session;
    if (out_size(session) > 0 || !can_flush(self))
        return send_in_python(self, message);
    Buffer *out = outgoing_buffer(session);
    Found found = out == NULL ? FAILED : write_message(session->format, out, message);
    if (found == WHOLE) {
        session->sent_count++;
        session->outgoing_size += out->end;
        session->out->count = 1;
    }
    keep_if_filled(session);
    if (found != WHOLE)
        return found == FAILED ? NULL : send_in_python(self, message);
    if (flush(self) < 0 || ((session->is_refused || out_size(session) > 0) && call_sender(self, NAME_check) < 0))
        return NULL;
    return Py_NewRef(self->core->done);
}

static PyObject *connection_send(Connection *self, PyObject *message)
{
    Session *session = self->session;
    if (!self->can_send || session->format->kind == NOT_NATIVE || session->is_refused)
        return send_in_python(self, message);
    if (self->blocks)
        return send_blocking(self, message);
    if (session->format->kind == CHUNKS && PyBytes_CheckExact(message) && PyBytes_GET_SIZE(message) >= self->large) {
        PyObject *sent = send_chunk(self, message);
        if (sent != NULL || PyErr_Occurred())
            return sent;
    }
    Buffer *out = outgoing_buffer(session);
    if (out == NULL)
        return NULL;
    Py_ssize_t before = out->end;
    Found found = write_message(session->format, out, message);
    if (found != WHOLE) {
        keep_if_filled(session);
        return found == FAILED ? NULL : send_in_python(self, message);
    }
    session->sent_count++;
    session->outgoing_size += out->end - before;
    if (out->end == 0)
        empty_outgoing(session); /* an empty message of `CHUNKS` */
    else if (++session->out->count == 1 && flush_at_end_of_turn(self) < 0)
        return NULL;
    if (session->outgoing_size >= self->large || session->out->count >= TURN_MESSAGES)
        return send_large(self, session->outgoing_size);
    return Py_NewRef(self->core->done);
}

static PyObject *connection_send_many(Connection *self, PyObject *messages)
{
    Session *session = self->session;
    bool is_first = out_size(session) == 0 && (session->outgoing == NULL || PyObject_Size(session->outgoing) == 0);
    Py_ssize_t before = session->outgoing_size;
    int encoded = self->can_send && !self->blocks && !session->is_refused ? encode_messages(session, messages) : 0;
    if (encoded <= 0)
        return encoded < 0 ? NULL
                           : PyObject_CallMethodOneArg((PyObject *)self,
                                                       self->core->names[NAME__send_many_in_python], messages);
    if (is_first && session->outgoing_size > before && flush_at_end_of_turn(self) < 0)
        return NULL;
    if (session->outgoing_size >= self->large || session->out->count >= TURN_MESSAGES)
        return send_large(self, session->outgoing_size);
    return Py_NewRef(self->core->done);
}

static PyObject *connection_anext(Connection *self)
{
    return new_next(self, ITERATE);
}

static PyObject *connection_batches(Connection *self, PyObject *unused)
{
    (void)unused;
    Batches *batches = PyObject_GC_New(Batches, self->core->batches_type);
    if (batches == NULL)
        return NULL;
    batches->connection = (Connection *)Py_NewRef(self);
    PyObject_GC_Track(batches);
    return (PyObject *)batches;
}

static PyObject *connection_next(Connection *self, PyObject *unused)
{
    (void)unused;
    return new_next(self, RECEIVE);
}

static PyObject *connection_next_many(Connection *self, PyObject *unused)
{
    (void)unused;
    return new_next(self, RECEIVE_MANY);
}

static PyObject *connection_attach(Connection *self, PyObject *args)
{
    PyObject *session, *stream, *engine, *soon;
    int can_receive, can_send, blocks;
    Py_ssize_t large, high;
    if (!PyArg_ParseTuple(args, "O!OOOnnppp:_attach", self->core->session_type, &session, &stream, &engine,
                          &soon, &large, &high, &can_receive, &can_send, &blocks))
        return NULL;
    bool is_plain = PyObject_TypeCheck(stream, self->core->stream_type);
    Py_XSETREF(self->session, (Session *)Py_NewRef(session));
    Py_XSETREF(self->stream, is_plain ? (Stream *)Py_NewRef(stream) : NULL);
    self->is_kernel = PyObject_TypeCheck(engine, self->core->kernel_type);
    self->is_loop = PyObject_TypeCheck(engine, self->core->loop_type);
    Py_XSETREF(self->engine, Py_NewRef(engine));
    Py_XSETREF(self->soon, Py_NewRef(soon));
    self->large = large;
    self->high = high;
    self->chunk_size = USUAL_CHUNK;
    self->can_receive = can_receive && is_plain;
    self->can_send = can_send;
    self->blocks = blocks;
    return Py_NewRef(Py_None);
}

static PyMethodDef connection_methods[] = {
    {"send", (PyCFunction)connection_send, METH_O, send_doc},
    {"send_many", (PyCFunction)connection_send_many, METH_O, send_many_doc},
    {"batches", (PyCFunction)connection_batches, METH_NOARGS, batches_doc},
    {"_attach", (PyCFunction)connection_attach, METH_VARARGS,
     "_attach($self, session, stream, engine, soon, large, high, can_receive, can_send, blocks, /)\n--\n\n"
     "Set the parts of the hot path; again after each change of the stream."},
    {"_flush_soon", (PyCFunction)connection_flush_soon, METH_NOARGS,
     "_flush_soon($self, /)\n--\n\nHand the batch to the system, as far as it takes it now."},
    {"_next", (PyCFunction)connection_next, METH_NOARGS, "_next($self, /)\n--\n\nReceive a message."},
    {"_next_many", (PyCFunction)connection_next_many, METH_NOARGS,
     "_next_many($self, /)\n--\n\nReceive the messages that are there, at least one."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef connection_members[] = {
    {"_closed", T_BOOL, offsetof(Connection, is_closed), 0, NULL},
    {"_end_sent_reported", T_BOOL, offsetof(Connection, end_sent), 0, NULL},
    {"engine", T_OBJECT, offsetof(Connection, engine), READONLY, NULL},
    {"server_closing", T_BOOL, offsetof(Connection, server_closing), 0, NULL},
    {"_blocks", T_BOOL, offsetof(Connection, blocks), READONLY, NULL},
    {"_high_water", T_PYSSIZET, offsetof(Connection, high), READONLY, NULL},
    {"_large", T_PYSSIZET, offsetof(Connection, large), READONLY, NULL},
    {"_session", T_OBJECT, offsetof(Connection, session), READONLY, NULL},
    {"_soon", T_OBJECT, offsetof(Connection, soon), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *connection_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs; /* the class's own `__init__` takes them */
    PyObject *module = PyType_GetModuleByDef(type, &core_module);
    Connection *self = module == NULL ? NULL : (Connection *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->core = PyModule_GetState(module);
    self->session = (Session *)PyObject_CallNoArgs((PyObject *)self->core->session_type);
    if (self->session == NULL) { /* so that it is never NULL */
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int connection_traverse(Connection *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->session);
    Py_VISIT(self->stream);
    Py_VISIT(self->engine);
    Py_VISIT(self->soon);
    return 0;
}

/* The session stays: the methods need it, and it has a `tp_clear` of its own. */
static int connection_clear(Connection *self)
{
    self->can_receive = self->can_send = false;
    Py_CLEAR(self->stream);
    Py_CLEAR(self->engine);
    Py_CLEAR(self->soon);
    return 0;
}

static void connection_dealloc(Connection *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    connection_clear(self);
    Py_CLEAR(self->session);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot connection_slots[] = {
    {Py_tp_new, connection_new},           {Py_am_aiter, itself},
    {Py_am_anext, connection_anext},       {Py_tp_methods, connection_methods},
    {Py_tp_members, connection_members},   {Py_tp_traverse, connection_traverse},
    {Py_tp_clear, connection_clear},       {Py_tp_dealloc, connection_dealloc},
    {0, NULL},
};

static PyType_Spec connection_spec = {
    .name = "socketkit._core._native.ConnectionCore",
    .basicsize = sizeof(Connection),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = connection_slots,
};

/* Broadcast. */

static bool is_same_format(const Format *one, const Format *other)
{
    return one == other || memcmp(one, other, sizeof *one) == 0;
}

/* Whether all are connections that encode the same way here. Those that take nothing any more are not asked. */
static bool encode_alike(CoreState *core, PyObject *targets, Connection **first)
{
    *first = NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(targets); i++) {
        Connection *target = (Connection *)PyTuple_GET_ITEM(targets, i);
        if (!PyObject_TypeCheck((PyObject *)target, core->connection_type))
            return false;
        if (target->session->is_refused)
            continue;
        const Format *format = target->session->format;
        if (!target->can_send || target->blocks || format->kind == NOT_NATIVE)
            return false;
        if (format->kind == WEBSOCKET && !format->is_masked)
            return false; /* a client's frames have a mask of their own each */
        if (*first == NULL)
            *first = target;
        else if (!is_same_format(format, (*first)->session->format))
            return false;
    }
    return *first != NULL;
}

/* Send from where it is what is large, and keep a copy of the rest, which waits in the background. */
static int push_large(Connection *self, const Buffer *encoded)
{
    Session *session = self->session;
    Py_ssize_t taken;
    session->sent_count++;
    session->outgoing_size += encoded->end;
    Found found = send_bytes(self, encoded->data, encoded->end, &taken);
    if (found != PART)
        return found == FAILED ? -1 : 0;
    Buffer *out = outgoing_buffer(session);
    if (out == NULL || make_room(out, encoded->end - taken) < 0)
        return -1;
    memcpy(out->data + out->end, encoded->data + taken, encoded->end - taken);
    out->end += encoded->end - taken;
    session->out->count++;
    return call_sender(self, NAME_flush);
}

/* Append an encoded message, which leaves at the end of the turn. */
static int push_encoded(Connection *self, const Buffer *encoded)
{
    Session *session = self->session;
    if (encoded->end >= USUAL_CHUNK && out_size(session) == 0 && can_flush(self))
        return push_large(self, encoded);
    session->sent_count++;
    if (encoded->end == 0)
        return 0; /* an empty message of `CHUNKS` */
    Buffer *out = outgoing_buffer(session);
    if (out == NULL || make_room(out, encoded->end) < 0)
        return -1;
    memcpy(out->data + out->end, encoded->data, encoded->end);
    out->end += encoded->end;
    session->outgoing_size += encoded->end;
    if (++session->out->count == 1 && flush_at_end_of_turn(self) < 0)
        return -1;
    return out_size(session) >= self->large ? flush(self) : 0;
}

PyObject *core_broadcast(PyObject *module, PyObject *args)
{
    CoreState *core = PyModule_GetState(module);
    PyObject *targets, *message;
    Connection *first;
    if (!PyArg_ParseTuple(args, "O!O:broadcast", &PyTuple_Type, &targets, &message))
        return NULL;
    if (!encode_alike(core, targets, &first))
        return Py_NewRef(Py_None);
    Buffer encoded = {0};
    Format format; /* a flush may run code that changes the framing */
    memcpy(&format, first->session->format, sizeof format);
    Found found = write_message(&format, &encoded, message);
    PyObject *slow = found == WHOLE ? PyList_New(0) : NULL;
    Py_ssize_t count = 0;
    int status = slow == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(targets) && status == 0; i++) {
        Connection *target = (Connection *)PyTuple_GET_ITEM(targets, i);
        if (target->session->is_refused)
            continue;
        /* A flush before may have run code that has changed this one's framing. */
        if (target->session->outgoing_size >= target->high ||
            memcmp(&format, target->session->format, sizeof format) != 0) {
            status = PyList_Append(slow, (PyObject *)target);
        } else {
            status = push_encoded(target, &encoded);
            count++;
        }
    }
    PyMem_RawFree(encoded.data);
    if (found == UNUSUAL)
        return Py_NewRef(Py_None);
    PyObject *result = status < 0 ? NULL : Py_BuildValue("nO", count, slow);
    Py_XDECREF(slow);
    return result;
}

PyObject *core_push(PyObject *module, PyObject *args)
{
    CoreState *core = PyModule_GetState(module);
    PyObject *targets, *data;
    if (!PyArg_ParseTuple(args, "O!S:push", &PyTuple_Type, &targets, &data))
        return NULL;
    const Buffer encoded = {.data = PyBytes_AS_STRING(data), .end = PyBytes_GET_SIZE(data)};
    PyObject *left = PyList_New(0);
    Py_ssize_t count = 0;
    int status = left == NULL ? -1 : 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(targets) && status == 0; i++) {
        Connection *target = (Connection *)PyTuple_GET_ITEM(targets, i);
        if (PyObject_TypeCheck((PyObject *)target, core->connection_type) && target->can_send && !target->blocks &&
            !target->session->is_refused && target->session->outgoing_size < target->high) {
            status = push_encoded(target, &encoded);
            count++;
        } else {
            status = PyList_Append(left, (PyObject *)target);
        }
    }
    PyObject *result = status < 0 ? NULL : Py_BuildValue("nO", count, left);
    Py_XDECREF(left);
    return result;
}

int add_connection(PyObject *module, CoreState *core)
{
    if (add_type(module, &batches_spec, &core->batches_type) < 0 ||
        add_type(module, &reading_spec, &core->reading_type) < 0)
        return -1;
    if (add_type(module, &next_spec, &core->next_type) < 0 || add_type(module, &done_spec, &core->done_type) < 0)
        return -1;
    core->done = PyObject_CallNoArgs((PyObject *)core->done_type);
    if (core->done == NULL || PyModule_AddObjectRef(module, "DONE", core->done) < 0)
        return -1;
    return add_type(module, &connection_spec, &core->connection_type);
}
