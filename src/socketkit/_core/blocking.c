/* Receiving in plain code: one recv(2) that waits, without the GIL. `connection.py` has its place in Python.

   While it waits, other threads may run any method of the same connection. So the bytes come into a buffer of this call,
   and join the session's after it. */

#include "core.h"

#include <errno.h>
#include <sys/socket.h>

enum { BLOCKING_SIZE = 64 * 1024 }; /* bytes that recv(2) is asked for, as in streams/socket_stream.py */

/* Whether a call that waits is right: the descriptor blocks, and nothing unusual is to be looked at first. */
static bool can_wait(const Session *session, const Stream *stream)
{
    return session->format->kind != NOT_NATIVE && !session->has_left && !session->is_receiving &&
           is_none(session->end) && is_open_here(session->core, stream) && stream->blocks && !stream->ended &&
           !stream->may_have_more;
}

/* Call recv(2) until it is not interrupted. FAILED: a signal handler has raised. */
static Found wait_for_bytes(Stream *stream, char *data, Py_ssize_t size, Py_ssize_t *count)
{
    for (;;) {
        int number;
        Py_BEGIN_ALLOW_THREADS
        *count = recv(stream->descriptor, data, size, 0);
        number = errno;
        Py_END_ALLOW_THREADS
        if (*count > 0)
            return WHOLE;
        if (*count == 0 || number != EINTR) {
            errno = *count == 0 ? 0 : number;
            return UNUSUAL;
        }
        if (PyErr_CheckSignals() < 0)
            return FAILED;
    }
}

/* Take what was received: a chunk becomes the message, other bytes join the session's. */
static Found take_bytes(Session *session, const char *data, Py_ssize_t count, PyObject **message)
{
    session->received_size += count;
    if (session->format->kind == CHUNKS) {
        session->received_count++;
        *message = PyBytes_FromStringAndSize(data, count);
        return *message == NULL ? FAILED : WHOLE;
    }
    return append_received(session, data, count) < 0 ? FAILED : WHOLE;
}

/* Wait for bytes, and take them. UNUSUAL: Python is to go on, and knows of an error that the system reports once. */
static Found receive_waiting(CoreState *core, Session *session, Stream *stream, PyObject **message)
{
    Py_ssize_t size = Py_MIN(BLOCKING_SIZE, stream->largest), count;
    char *data = take_spare(core);
    if (data == NULL)
        return FAILED;
    session->is_receiving = true;
    Found found = wait_for_bytes(stream, data, size, &count);
    int number = errno;
    session->is_receiving = false;
    if (found == WHOLE) {
        stream->may_have_more = count == size;
        /* Closed meanwhile, or changed by another thread: Python has the bytes. */
        if (session->format->kind == NOT_NATIVE || session->has_left || !is_none(session->end)) {
            PyObject *result = PyObject_CallMethod((PyObject *)session, "feed", "y#", data, count);
            found = result == NULL ? FAILED : UNUSUAL;
            Py_XDECREF(result);
        } else {
            found = take_bytes(session, data, count, message);
        }
    } else if (found == UNUSUAL && number != 0 && report_loss(core, stream, number) < 0) {
        found = FAILED;
    }
    give_back_spare(core, data);
    return found;
}

PyObject *core_receive_blocking(PyObject *module, PyObject *const *args, Py_ssize_t args_count)
{
    CoreState *core = PyModule_GetState(module);
    if (args_count != 2 || !PyObject_TypeCheck(args[0], core->session_type) ||
        !PyObject_TypeCheck(args[1], core->stream_type)) {
        PyErr_SetString(PyExc_TypeError, "receive_blocking takes a session and a stream");
        return NULL;
    }
    Session *session = (Session *)args[0];
    Stream *stream = (Stream *)args[1];
    PyObject *message = NULL;
    for (;;) {
        if (waiting_count(session) > 0)
            return pop_waiting(session);
        Found found = PART;
        if (decodes(session) && !session->is_receiving && is_none(session->end)) {
            found = decode_one(session, &message);
            if (found == WHOLE)
                return message;
        }
        if (found == PART && can_wait(session, stream)) {
            found = receive_waiting(core, session, stream, &message);
            if (found == WHOLE && message != NULL)
                return message;
            if (found == WHOLE)
                continue;
        }
        return found == FAILED ? NULL : Py_NewRef(core->nothing);
    }
}
