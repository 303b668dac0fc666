/* Both directions of one connection, as bytes: what was received and not decoded, what was encoded and not sent.

   `session.py` is the same in Python. In a native framing the bytes are kept here and decoded on demand. Otherwise, and
   from the first unusual frame on, the codec of `connection/session.py` has them, and `format` is NOT_NATIVE.

   The buffer of `in`: the bytes from `start` to `next` are those of the messages in `waiting`, so that they can be taken
   back; those from `next` to `end` were not decoded. */

#include "core.h"

#include <string.h>

static const Format not_native; /* of a session that has not been told its framing */

/* A format in use. */
typedef struct {
    Format format; /* the first member: its address is that of the whole */
    Py_ssize_t users;
} SharedFormat;

void release_format(const Format *format)
{
    SharedFormat *shared = (SharedFormat *)format;
    if (format != NULL && format != &not_native && --shared->users == 0)
        PyMem_RawFree(shared);
}

/* The one of this content; most connections of a program have the same framing. NULL with an exception: no memory. */
static const Format *share_format(CoreState *core, const Format *format)
{
    SharedFormat *shared = (SharedFormat *)core->format;
    if (shared == NULL || memcmp(&shared->format, format, sizeof *format) != 0) {
        shared = PyMem_RawMalloc(sizeof *shared);
        if (shared == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        *shared = (SharedFormat){.users = 1};
        memcpy(&shared->format, format, sizeof *format); /* with what is between the members, which is compared */
        release_format(core->format);
        core->format = &shared->format;
    }
    shared->users++;
    return &shared->format;
}

enum { LOOSE_SIZE = 4096 }; /* bytes that a buffer may be larger than what it holds while the connection waits */

static void free_buffer(CoreState *core, Buffer *buffer)
{
    if (buffer->data != NULL) {
        if (buffer->capacity == SPARE_SIZE)
            give_back_spare(core, buffer->data);
        else
            PyMem_RawFree(buffer->data);
    }
    *buffer = (Buffer){0};
}

Outgoing nothing_out;

/* Have a buffer for what is to be sent: one that another connection needs no more, or a new one. */
int begin_outgoing(Session *self)
{
    CoreState *core = self->core;
    Outgoing *out = core->kept_count > 0 ? core->kept[--core->kept_count] : PyMem_RawCalloc(1, sizeof *out);
    if (out == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->out = out;
    return 0;
}

/* All that was to be sent is: another connection may use its buffer. */
void empty_outgoing(Session *self)
{
    CoreState *core = self->core;
    Outgoing *out = self->out;
    self->out = &nothing_out;
    if (out == &nothing_out)
        return;
    if (out->bytes.capacity <= RECEIVE_SIZE && core->kept_count < KEPT_COUNT) {
        *out = (Outgoing){.bytes = {.data = out->bytes.data, .capacity = out->bytes.capacity}};
        core->kept[core->kept_count++] = out;
    } else {
        free_outgoing(out);
    }
}

void free_outgoing(Outgoing *out)
{
    if (out != &nothing_out) {
        PyMem_RawFree(out->bytes.data);
        PyMem_RawFree(out);
    }
}

/* Give `in` room for so many bytes to receive: the spare buffer where it is enough, else one that grows twofold. */
int prepare_receive(Session *self, Py_ssize_t size)
{
    Buffer *in = &self->in;
    if (in->start == in->end)
        in->start = in->next = in->end = 0;
    if (in->capacity - in->end >= size)
        return 0;
    Py_ssize_t held = in->end - in->start;
    if (held + size <= SPARE_SIZE && in->capacity < SPARE_SIZE) {
        char *data = take_spare(self->core);
        if (data == NULL)
            return -1;
        if (held > 0)
            memcpy(data, in->data + in->start, held);
        PyMem_RawFree(in->data);
        in->data = data;
        in->capacity = SPARE_SIZE;
    } else if (in->start > 0) {
        memmove(in->data, in->data + in->start, held);
    } else {
        return make_room(in, size);
    }
    in->next -= in->start;
    in->end = held;
    in->start = 0;
    return make_room(in, size);
}

/* Before a wait: hold no more memory than there are bytes, and no list that is empty. */
void settle_buffer(Session *self)
{
    Buffer *in = &self->in;
    if (self->waiting != NULL && PyList_GET_SIZE(self->waiting) == 0 && Py_REFCNT(self->waiting) == 1)
        Py_CLEAR(self->waiting);
    Py_ssize_t held = in->end - in->start;
    if (held == 0) {
        free_buffer(self->core, in);
    } else if (in->capacity == SPARE_SIZE && held <= SPARE_SIZE / 2) {
        char *data = PyMem_RawMalloc(held);
        if (data == NULL)
            return; /* it stays large */
        memcpy(data, in->data + in->start, held);
        Py_ssize_t next = in->next - in->start;
        free_buffer(self->core, in);
        *in = (Buffer){.data = data, .capacity = held, .next = next, .end = held};
    } else if (in->start > LOOSE_SIZE && in->start > held) {
        memmove(in->data, in->data + in->start, held);
        in->next -= in->start;
        in->end = held;
        in->start = 0;
        char *data = PyMem_RawRealloc(in->data, held);
        if (data != NULL) {
            in->data = data;
            in->capacity = held;
        }
    }
}

/* Decode up to so many messages into a new list. `found` says why it ended: WHOLE: at the limit. */
PyObject *take_messages(Session *self, Py_ssize_t limit, Found *found)
{
    PyObject *taken[TURN_MESSAGES]; /* so that the list is made once, in its size */
    Py_ssize_t count = 0;
    limit = Py_MIN(limit, TURN_MESSAGES);
    *found = WHOLE;
    while (count < limit && *found == WHOLE) {
        Py_ssize_t lines = decode_lines(self->format, &self->in, &self->scanned, &taken[count], limit - count);
        self->received_count += lines;
        count += lines;
        if (count < limit && (*found = next_message(self, NULL, &taken[count])) == WHOLE)
            count++;
    }
    PyObject *messages = *found == FAILED ? NULL : PyList_New(count);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (messages == NULL)
            Py_DECREF(taken[i]);
        else
            PyList_SET_ITEM(messages, i, taken[i]);
    }
    return messages;
}

/* The list of `waiting`, as a new reference. */
PyObject *waiting_of(Session *self)
{
    if (self->waiting == NULL)
        self->waiting = PyList_New(0);
    return Py_XNewRef(self->waiting);
}

/* Take the oldest message of `waiting`, which holds one. */
PyObject *pop_waiting(Session *self)
{
    PyObject *waiting = self->waiting;
    Py_ssize_t last = PyList_GET_SIZE(waiting) - 1;
    if (last > 0) {
        Py_SET_SIZE(waiting, last); /* its room stays until it is empty */
        return PyList_GET_ITEM(waiting, last);
    }
    PyObject *message = Py_NewRef(PyList_GET_ITEM(waiting, last));
    if (PyList_SetSlice(waiting, last, last + 1, NULL) < 0)
        Py_CLEAR(message);
    return message;
}

/* Take the oldest message, decoded before or now. NULL without an exception: there is none, or something is unusual. */
PyObject *take_one(Session *self)
{
    if (waiting_count(self) > 0)
        return pop_waiting(self);
    if (!decodes(self) || self->is_receiving || !is_none(self->end))
        return NULL;
    PyObject *message = NULL;
    Found found = decode_one(self, &message);
    return found == WHOLE ? message : NULL;
}

/* Methods. */

static PyObject *session_take_one(Session *self, PyObject *unused)
{
    (void)unused;
    PyObject *message = take_one(self);
    return message == NULL && !PyErr_Occurred() ? Py_NewRef(self->core->nothing) : message;
}

static PyObject *session_use_native(Session *self, PyObject *description)
{
    Format format;
    if (read_format(description, &format) < 0)
        return NULL;
    const Format *shared = share_format(self->core, &format);
    if (shared == NULL)
        return NULL;
    release_format(self->format);
    self->format = shared;
    self->scanned = 0;
    self->has_left = false;
    return PyBool_FromLong(format.kind != NOT_NATIVE);
}

/* Append bytes that were received. */
int append_received(Session *self, const char *data, Py_ssize_t size)
{
    drop_consumed(self);
    Buffer *in = &self->in;
    if (in->start == in->end)
        in->start = in->next = in->end = 0;
    else if (in->start > in->capacity / 2) {
        memmove(in->data, in->data + in->start, in->end - in->start);
        in->next -= in->start;
        in->end -= in->start;
        in->start = 0;
    }
    if (size == 0)
        return 0; /* memcpy(3) takes no null pointer */
    if (make_room(in, size) < 0)
        return -1;
    memcpy(in->data + in->end, data, size);
    in->end += size;
    return 0;
}

static PyObject *session_put(Session *self, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    int status = append_received(self, view.buf, view.len);
    PyBuffer_Release(&view);
    return status < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *session_decode(Session *self, PyObject *argument)
{
    Py_ssize_t limit = PyLong_AsSsize_t(argument);
    if (limit == -1 && PyErr_Occurred())
        return NULL;
    drop_consumed(self);
    Found found;
    PyObject *messages = take_messages(self, limit, &found);
    if (messages == NULL)
        return NULL;
    int status = PyList_Reverse(messages);
    PyObject *waiting = status == 0 ? waiting_of(self) : NULL;
    status = waiting == NULL ? -1 : PyList_SetSlice(waiting, 0, 0, messages); /* the oldest is the last */
    Py_XDECREF(waiting);
    Py_DECREF(messages);
    if (found == PART && waiting_count(self) == 0)
        settle_buffer(self);
    return status < 0 ? NULL : PyLong_FromLong(found);
}

static PyObject *session_rewind(Session *self, PyObject *unused)
{
    (void)unused;
    Buffer *in = &self->in;
    Py_ssize_t unread = waiting_count(self), count = 0;
    self->scanned = 0;
    if (unread > 0) { /* count the frames of the batch, then pass over those that were received */
        Buffer batch = *in;
        batch.end = in->next;
        batch.next = in->start;
        while (skip_frame(self->format, &batch, &self->scanned) == WHOLE)
            count++;
        in->next = in->start;
        for (self->scanned = 0; count > unread; count--)
            if (skip_frame(self->format, in, &self->scanned) != WHOLE)
                break;
        self->scanned = 0;
        self->received_count -= unread;
        if (PyList_SetSlice(self->waiting, 0, unread, NULL) < 0)
            return NULL;
    }
    in->start = in->next;
    return Py_NewRef(Py_None);
}

static PyObject *session_take_bytes(Session *self, PyObject *unused)
{
    (void)unused;
    Buffer *in = &self->in;
    PyObject *data = PyBytes_FromStringAndSize(in->data == NULL ? "" : in->data + in->next, in->end - in->next);
    if (data == NULL)
        return NULL;
    in->next = in->end;
    self->scanned = 0;
    drop_consumed(self);
    if (in->start == in->end)
        free_buffer(self->core, in);
    return data;
}

/* Whole frames among the bytes that were not decoded. */
static PyObject *session_count(Session *self, PyObject *unused)
{
    (void)unused;
    Buffer ahead = self->in;
    Py_ssize_t count = 0, scanned = self->scanned;
    while (decodes(self) && skip_frame(self->format, &ahead, &scanned) == WHOLE)
        count++;
    return PyLong_FromSsize_t(count);
}

static PyObject *session_leave(Session *self, PyObject *unused)
{
    (void)unused;
    self->has_left = true;
    return Py_NewRef(Py_None);
}

static PyObject *session_drop(Session *self, PyObject *unused)
{
    (void)unused;
    free_buffer(self->core, &self->in);
    self->scanned = 0;
    return Py_NewRef(Py_None);
}

/* Append messages to `out`: all of them, and 1; or none, and 0: the Python codec is to encode them. */
int encode_messages(Session *self, PyObject *messages)
{
    if (self->format->kind == NOT_NATIVE || !(PyList_Check(messages) || PyTuple_Check(messages)))
        return 0; /* an iterator is consumed once */
    Buffer *out = outgoing_buffer(self);
    if (out == NULL)
        return -1;
    Py_ssize_t before = out->end;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(messages);
    Found found = write_messages(self->format, out, PySequence_Fast_ITEMS(messages), count);
    if (found == UNUSUAL) {
        found = WHOLE;
        for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(messages) && found == WHOLE; i++)
            found = write_message(self->format, out, PySequence_Fast_GET_ITEM(messages, i));
    }
    if (found != WHOLE) {
        out->end = before;
        keep_if_filled(self);
        return found == FAILED ? -1 : 0;
    }
    self->sent_count += count;
    self->outgoing_size += out->end - before;
    self->out->count += count;
    keep_if_filled(self);
    return 1;
}

static PyObject *session_encode(Session *self, PyObject *messages)
{
    int encoded = encode_messages(self, messages);
    return encoded < 0 ? NULL : PyBool_FromLong(encoded);
}

/* The bytes of `out`; it is empty then. */
static PyObject *session_take_out(Session *self, PyObject *unused)
{
    (void)unused;
    const Buffer *out = &self->out->bytes;
    PyObject *data = PyBytes_FromStringAndSize(out->data == NULL ? "" : out->data, out->end);
    if (data != NULL)
        empty_outgoing(self);
    return data;
}

static PyObject *session_drop_out(Session *self, PyObject *unused)
{
    (void)unused;
    empty_outgoing(self);
    return Py_NewRef(Py_None);
}

static PyObject *session_is_native(Session *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(decodes(self));
}

static PyObject *session_pending(Session *self, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(self->in.end - self->in.next);
}

static PyObject *session_out_size(Session *self, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(out_size(self));
}

/* The frames that Python has encoded, as a new reference. The list is made when it is asked for. */
PyObject *outgoing_of(Session *self)
{
    if (self->outgoing == NULL)
        self->outgoing = PyList_New(0);
    return Py_XNewRef(self->outgoing);
}

static PyObject *session_get_outgoing(Session *self, void *closure)
{
    (void)closure;
    return outgoing_of(self);
}

static int session_set_outgoing(Session *self, PyObject *value, void *closure)
{
    (void)closure;
    Py_XSETREF(self->outgoing, Py_XNewRef(value));
    return 0;
}

static PyObject *session_get_waiting(Session *self, void *closure)
{
    (void)closure;
    return waiting_of(self);
}

static PyMethodDef session_methods[] = {
    {"_use_native", (PyCFunction)session_use_native, METH_O,
     "_use_native($self, description, /)\n--\n\nKeep and decode bytes here from now on; False: such a framing cannot."},
    {"_put", (PyCFunction)session_put, METH_O, "_put($self, data, /)\n--\n\nAppend received bytes."},
    {"_decode", (PyCFunction)session_decode, METH_O,
     "_decode($self, limit, /)\n--\n\nDecode messages into `waiting`; return PART, WHOLE (the limit was reached) or "
     "UNUSUAL."},
    {"_rewind", (PyCFunction)session_rewind, METH_NOARGS,
     "_rewind($self, /)\n--\n\nMake the messages in `waiting` bytes again."},
    {"_take_bytes", (PyCFunction)session_take_bytes, METH_NOARGS,
     "_take_bytes($self, /)\n--\n\nTake all bytes that were not decoded."},
    {"_take_one", (PyCFunction)session_take_one, METH_NOARGS,
     "_take_one($self, /)\n--\n\nTake the oldest message, decoded before or now; NOTHING: there is none."},
    {"_count", (PyCFunction)session_count, METH_NOARGS,
     "_count($self, /)\n--\n\nReturn how many whole frames are among the bytes that were not decoded."},
    {"_leave", (PyCFunction)session_leave, METH_NOARGS,
     "_leave($self, /)\n--\n\nKeep and decode bytes here no more; those that are encoded still are."},
    {"_drop", (PyCFunction)session_drop, METH_NOARGS, "_drop($self, /)\n--\n\nDrop all received bytes."},
    {"_encode", (PyCFunction)session_encode, METH_O,
     "_encode($self, messages, /)\n--\n\nAppend messages to the outgoing bytes; False: Python is to encode them."},
    {"_take_out", (PyCFunction)session_take_out, METH_NOARGS,
     "_take_out($self, /)\n--\n\nTake the outgoing bytes that were encoded here."},
    {"_drop_out", (PyCFunction)session_drop_out, METH_NOARGS, "_drop_out($self, /)\n--\n\nDrop them."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef session_getset[] = {
    {"is_native", (getter)session_is_native, NULL, "Whether received bytes are kept and decoded here.", NULL},
    {"_pending", (getter)session_pending, NULL, "Bytes that were not decoded.", NULL},
    {"_out_size", (getter)session_out_size, NULL, "Bytes that were encoded here and not taken.", NULL},
    {"outgoing", (getter)session_get_outgoing, (setter)session_set_outgoing,
     "Encoded frames that were not handed to the system yet, oldest first.", NULL},
    {"waiting", (getter)session_get_waiting, NULL, "Messages that were not received yet, the oldest last.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef session_members[] = {
    {"_end", T_OBJECT, offsetof(Session, end), 0, NULL},
    {"_has_work", T_BOOL, offsetof(Session, has_work), 0, NULL},
    {"drain_waiters", T_OBJECT, offsetof(Session, drain_waiters), 0, NULL},
    {"encode_one", T_OBJECT, offsetof(Session, encode_one), 0, NULL},
    {"has_backlog", T_BOOL, offsetof(Session, has_backlog), 0, NULL},
    {"is_draining", T_BOOL, offsetof(Session, is_draining), 0, NULL},
    {"is_receiving", T_BOOL, offsetof(Session, is_receiving), 0, NULL},
    {"is_refused", T_BOOL, offsetof(Session, is_refused), 0, NULL},
    {"outgoing_size", T_PYSSIZET, offsetof(Session, outgoing_size), 0, NULL},
    {"received_count", T_PYSSIZET, offsetof(Session, received_count), 0, NULL},
    {"received_size", T_PYSSIZET, offsetof(Session, received_size), 0, NULL},
    {"sent_count", T_PYSSIZET, offsetof(Session, sent_count), 0, NULL},
    {"sent_size", T_PYSSIZET, offsetof(Session, sent_size), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *session_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs; /* the class's own `__init__` takes them */
    PyObject *module = PyType_GetModuleByDef(type, &core_module);
    Session *self = module == NULL ? NULL : (Session *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->core = PyModule_GetState(module);
    self->format = &not_native;
    self->out = &nothing_out;
    return (PyObject *)self;
}

static int session_traverse(Session *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->waiting);
    Py_VISIT(self->outgoing);
    Py_VISIT(self->encode_one);
    Py_VISIT(self->end);
    Py_VISIT(self->drain_waiters);
    return 0;
}

static int session_clear(Session *self)
{
    Py_CLEAR(self->waiting);
    Py_CLEAR(self->outgoing);
    Py_CLEAR(self->encode_one);
    Py_CLEAR(self->end);
    Py_CLEAR(self->drain_waiters);
    return 0;
}

static void session_dealloc(Session *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    session_clear(self);
    PyMem_RawFree(self->in.data);
    free_outgoing(self->out);
    release_format(self->format);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot session_slots[] = {
    {Py_tp_new, session_new},           {Py_tp_methods, session_methods}, {Py_tp_members, session_members},
    {Py_tp_getset, session_getset},     {Py_tp_clear, session_clear},     {Py_tp_traverse, session_traverse},
    {Py_tp_dealloc, session_dealloc},   {0, NULL},
};

static PyType_Spec session_spec = {
    .name = "socketkit._core._native.SessionCore",
    .basicsize = sizeof(Session),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = session_slots,
};

int add_session(PyObject *module, CoreState *core)
{
    static const struct {
        const char *name;
        int value;
    } results[] = {{"PART", PART}, {"WHOLE", WHOLE}, {"UNUSUAL", UNUSUAL}};
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (PyModule_AddIntConstant(module, results[i].name, results[i].value) < 0)
            return -1;
    return add_type(module, &session_spec, &core->session_type);
}
