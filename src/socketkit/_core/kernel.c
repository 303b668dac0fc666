/* The loop of the readiness engines. `kernel.py` is the same in Python.

   epoll(7) is called here, without the GIL; every other poller is asked by its method. */

#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#ifdef __linux__
#include <sys/epoll.h>
#endif

/* The bits of poll(2), which epoll(7) shares. */
enum { IN = 0x001, OUT = 0x004, ERR = 0x008, HUP = 0x010, INVALID = 0x020 };
enum { READ_BITS = IN | ERR | HUP | INVALID, WRITE_BITS = OUT | ERR | HUP | INVALID };

enum { MAX_EVENTS = 512 };
enum { USUAL_DESCRIPTORS = 1 << 20 }; /* those from here on have to be open: a wrong number takes no memory */
enum { MAX_DESCRIPTOR = 1 << 26 }; /* far above what a system gives: the table of slots is as long as the highest */

static const double LONGEST_POLL = 24 * 3600.0; /* seconds; as in kernel.py */

/* Task: the state of a coroutine that the loop runs. */

static PyMemberDef task_members[] = {
    {"cancelling", T_BOOL, offsetof(Task, cancelling), 0, NULL},
    {"context", T_OBJECT, offsetof(Task, context), 0, NULL},
    {"coroutine", T_OBJECT, offsetof(Task, coroutine), 0, NULL},
    {"deadline", T_OBJECT, offsetof(Task, deadline), 0, NULL},
    {"direction", T_INT, offsetof(Task, direction), 0, NULL},
    {"done", T_BOOL, offsetof(Task, done), 0, NULL},
    {"error", T_OBJECT, offsetof(Task, error), 0, NULL},
    {"event", T_OBJECT, offsetof(Task, event), 0, NULL},
    {"ready", T_OBJECT, offsetof(Task, ready), 0, NULL},
    {"slot", T_OBJECT, offsetof(Task, slot), 0, NULL},
    {"timer", T_OBJECT, offsetof(Task, timer), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static int task_traverse(Task *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->coroutine);
    Py_VISIT(self->context);
    Py_VISIT(self->ready);
    Py_VISIT(self->slot);
    Py_VISIT(self->event);
    Py_VISIT(self->deadline);
    Py_VISIT(self->timer);
    Py_VISIT(self->error);
    return 0;
}

static int task_clear(Task *self)
{
    Py_CLEAR(self->coroutine);
    Py_CLEAR(self->context);
    Py_CLEAR(self->ready);
    Py_CLEAR(self->slot);
    Py_CLEAR(self->event);
    Py_CLEAR(self->deadline);
    Py_CLEAR(self->timer);
    Py_CLEAR(self->error);
    return 0;
}

static void task_dealloc(Task *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    task_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot task_slots[] = {
    {Py_tp_members, task_members},
    {Py_tp_traverse, task_traverse},
    {Py_tp_clear, task_clear},
    {Py_tp_dealloc, task_dealloc},
    {0, NULL},
};

static PyType_Spec task_spec = {
    .name = "socketkit._core._native.TaskState",
    .basicsize = sizeof(Task),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = task_slots,
};

/* Slot: a descriptor that is watched, and the tasks that wait there. */

static PyMemberDef slot_members[] = {
    {"armed", T_INT, offsetof(Slot, armed), 0, NULL},
    {"reader", T_OBJECT, offsetof(Slot, reader), 0, NULL},
    {"writer", T_OBJECT, offsetof(Slot, writer), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static int slot_traverse(Slot *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->reader);
    Py_VISIT(self->writer);
    return 0;
}

static int slot_clear(Slot *self)
{
    Py_CLEAR(self->reader);
    Py_CLEAR(self->writer);
    return 0;
}

static void slot_dealloc(Slot *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    slot_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot slot_slots[] = {
    {Py_tp_members, slot_members},
    {Py_tp_traverse, slot_traverse},
    {Py_tp_clear, slot_clear},
    {Py_tp_dealloc, slot_dealloc},
    {0, NULL},
};

static PyType_Spec slot_spec = {
    .name = "socketkit._core._native.Slot",
    .basicsize = sizeof(Slot),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slot_slots,
};

/* Kernel: the state of the loop. */

static PyObject *kernel_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs; /* the class's own `__init__` takes them */
    PyObject *module = PyType_GetModuleByDef(type, &core_module);
    if (module == NULL)
        return NULL;
    Kernel *self = (Kernel *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->core = PyModule_GetState(module);
        self->epoll = -1;
    }
    return (PyObject *)self;
}

/* Run a task to its next wait. -1: KeyboardInterrupt or SystemExit, which ends the run. */
static int step(Kernel *self, Task *task)
{
    CoreState *core = self->core;
    if (!PyObject_TypeCheck((PyObject *)task, core->task_type)) {
        PyErr_SetString(PyExc_TypeError, "a task is expected");
        return -1;
    }
    Py_XSETREF(self->current, Py_NewRef(task));
    PyObject *error = task->error == Py_None ? NULL : Py_XNewRef(task->error);
    Py_CLEAR(task->error);
    PyObject *coroutine = Py_NewRef(task->coroutine), *context = Py_NewRef(task->context), *result = NULL;
    PySendResult outcome;
    for (;;) {
        if (PyContext_Enter(context) < 0) {
            outcome = PYGEN_ERROR;
        } else {
            if (error == NULL) {
                outcome = PyIter_Send(coroutine, Py_None, &result);
            } else {
                result = PyObject_CallMethodOneArg(coroutine, core->names[NAME_throw], error);
                Py_CLEAR(error);
                outcome = result != NULL ? PYGEN_NEXT : PYGEN_ERROR;
                if (result == NULL && PyErr_ExceptionMatches(PyExc_StopIteration)) {
                    PyObject *stop = take_exception();
                    result = PyObject_GetAttrString(stop, "value");
                    Py_DECREF(stop);
                    outcome = result != NULL ? PYGEN_RETURN : PYGEN_ERROR;
                }
            }
            PyObject *failure = outcome == PYGEN_ERROR ? take_exception() : NULL;
            PyContext_Exit(context);
            if (failure != NULL)
                restore_exception(failure);
        }
        if (outcome != PYGEN_NEXT || result == core->parked)
            break;
        /* The task awaits what only another loop can complete. */
        error = PyObject_CallMethodOneArg((PyObject *)self, core->names[NAME__foreign], result);
        Py_CLEAR(result);
        if (error == NULL) {
            outcome = PYGEN_ERROR;
            break;
        }
    }
    Py_DECREF(coroutine);
    Py_DECREF(context);
    if (outcome == PYGEN_NEXT) {
        Py_DECREF(result);
        return 0;
    }
    PyObject *failure = NULL;
    bool is_final = false;
    if (outcome == PYGEN_ERROR) {
        is_final = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) || PyErr_ExceptionMatches(PyExc_SystemExit);
        failure = take_exception();
    }
    PyObject *done = PyObject_CallMethodObjArgs((PyObject *)self, core->names[NAME__finish], task,
                                                result != NULL ? result : Py_None,
                                                failure != NULL && !is_final ? failure : Py_None, NULL);
    Py_XDECREF(result);
    if (done == NULL) {
        Py_XDECREF(failure);
        return -1;
    }
    Py_DECREF(done);
    if (is_final) {
        restore_exception(failure);
        return -1;
    }
    Py_XDECREF(failure);
    return 0;
}

/* What waits for the end of the turn: batches, and calls. */
static Py_ssize_t soon_count(Kernel *self)
{
    return self->unsent_count + PyObject_Size(self->soon);
}

/* What a call at the end of the turn has let out is reported, and ends nothing else. */
static int report(Kernel *self)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return -1;
    PyObject *error = take_exception();
    PyObject *result = PyObject_CallMethodOneArg((PyObject *)self, self->core->names[NAME__report], error);
    Py_DECREF(error);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* An exception ends this turn: what is unsent waits for the end of the next one. The exception stays. */
static void put_off(PyObject *connection)
{
    PyObject *error = take_exception();
    if (flush_connection_later(connection) < 0)
        PyErr_Clear(); /* there is no memory: it leaves with what is sent next, or on close */
    restore_exception(error);
}

/* Send the batches of this turn. */
static int flush_unsent(Kernel *self)
{
    PyObject *unsent[TURN_TASKS];
    int count = self->unsent_count, status = 0;
    memcpy(unsent, self->unsent, count * sizeof *unsent);
    self->unsent_count = 0; /* those that are added from here on are for the next turn */
    for (int i = 0; i < count; i++) {
        if (status < 0)
            put_off(unsent[i]);
        else if (flush_connection(unsent[i]) < 0)
            status = report(self);
        Py_DECREF(unsent[i]);
    }
    return status;
}

/* Send the batches of this turn, and make the calls that wait for its end. */
static int run_soon(Kernel *self)
{
    PyObject *soon = Py_NewRef(self->soon);
    int status = flush_unsent(self);
    for (Py_ssize_t left = PyObject_Size(soon); left > 0 && status == 0; left--) {
        PyObject *callback = PyObject_CallMethodNoArgs(soon, self->core->names[NAME_popleft]);
        PyObject *result = callback == NULL ? NULL : PyObject_CallNoArgs(callback);
        if (result == NULL)
            status = callback == NULL ? -1 : report(self);
        Py_XDECREF(callback);
        Py_XDECREF(result);
    }
    Py_DECREF(soon);
    return status;
}

static int run_soon_if_many(Kernel *self)
{
    return soon_count(self) >= TURN_TASKS ? run_soon(self) : 0;
}

static int call(Kernel *self, PyObject *name)
{
    PyObject *result = PyObject_CallMethodNoArgs((PyObject *)self, name);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int disarm(Kernel *self, int descriptor, Slot *slot, int direction)
{
    PyObject *result = PyObject_CallMethod((PyObject *)self, "_disarm", "iOi", descriptor, slot, direction);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Resume the task that waits for one direction of a descriptor; stop watching what no task waits for. */
static int resume(Kernel *self, int descriptor, Slot *slot, int direction)
{
    PyObject **place = direction == READ ? &slot->reader : &slot->writer;
    PyObject *waiting = *place;
    if (is_none(waiting))
        return slot->armed & direction ? disarm(self, descriptor, slot, direction) : 0;
    Task *task = (Task *)waiting; /* the reference moves here */
    *place = NULL;
    Py_CLEAR(task->slot);
    Py_CLEAR(task->deadline);
    int status = step(self, task);
    Py_DECREF(task);
    return status;
}

/* The place of a descriptor's slot; NULL: it is negative, or higher than every one that was watched. */
static Slot **place_of(Kernel *self, long descriptor)
{
    return descriptor >= 0 && descriptor < self->slots_size ? &self->slots[descriptor] : NULL;
}

/* Find where the tasks of a descriptor wait, as a new reference; NULL: nowhere. */
static Slot *find_slot(Kernel *self, long descriptor)
{
    Slot **place = place_of(self, descriptor);
    return place == NULL ? NULL : (Slot *)Py_XNewRef(*place);
}

/* Make a slot, as a new reference. NULL with an exception: there is no memory, or no such descriptor. */
static Slot *make_slot(Kernel *self, long descriptor)
{
    if (descriptor < 0 || descriptor > MAX_DESCRIPTOR) {
        PyErr_Format(PyExc_ValueError, "%ld is not a descriptor", descriptor);
        return NULL;
    }
    if (descriptor >= self->slots_size) {
        if (descriptor >= USUAL_DESCRIPTORS && fcntl((int)descriptor, F_GETFD) < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            return NULL;
        }
        long size = descriptor + descriptor / 8 + 8;
        Slot **slots = PyMem_Realloc(self->slots, size * sizeof *slots);
        if (slots == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        memset(slots + self->slots_size, 0, (size - self->slots_size) * sizeof *slots);
        self->slots = slots;
        self->slots_size = size;
    }
    Slot *slot = (Slot *)PyObject_CallNoArgs((PyObject *)self->core->slot_type);
    if (slot != NULL)
        Py_XSETREF(self->slots[descriptor], (Slot *)Py_NewRef(slot));
    return slot;
}

static void drop_slot(Kernel *self, long descriptor)
{
    Slot **place = place_of(self, descriptor);
    if (place != NULL)
        Py_CLEAR(*place);
}

/* Watch a descriptor until it is readable. NULL, and no exception: another task waits there, or it cannot be watched:
   the engine's `wait` says so. An exception: the program is interrupted. */
Slot *watch_readable(Kernel *self, int descriptor)
{
    Slot *slot = find_slot(self, descriptor);
    bool is_new = slot == NULL;
    if (is_new)
        slot = make_slot(self, descriptor);
    bool is_free = slot != NULL && is_none(slot->reader);
    if (is_free && !(slot->armed & READ)) {
        PyObject *result =
            PyObject_CallMethod((PyObject *)self, "_arm", "iOi", descriptor, (PyObject *)slot, slot->armed | READ);
        Py_XDECREF(result);
        is_free = result != NULL;
        if (!is_free && is_new)
            drop_slot(self, descriptor);
    }
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_Exception))
        PyErr_Clear();
    if (!is_free)
        Py_CLEAR(slot);
    return slot;
}

/* Act on what a poll has reported. `slot` was found before any task ran: a task may close the descriptor, whose number
   is given to the next socket at once. */
static int dispatch(Kernel *self, int descriptor, Slot *slot, int bits, int waker)
{
    if (slot == NULL)
        return descriptor == waker ? call(self, self->core->names[NAME__run_calls]) : 0;
    int status = 0;
    if (bits & READ_BITS)
        status = resume(self, descriptor, slot, READ);
    if (status == 0 && bits & WRITE_BITS)
        status = resume(self, descriptor, slot, WRITE);
    return status < 0 ? -1 : run_soon_if_many(self);
}

/* The moment of the first timer, in `*moment`; false: there is none. */
static bool first_timer(Kernel *self, double *moment)
{
    if (PyList_GET_SIZE(self->timers) == 0)
        return false;
    *moment = PyFloat_AsDouble(PyTuple_GET_ITEM(PyList_GET_ITEM(self->timers, 0), 0));
    return true;
}

static int read_clock(Kernel *self, double *now)
{
    PyObject *value = PyObject_CallNoArgs(self->now);
    if (value == NULL)
        return -1;
    *now = PyFloat_AsDouble(value);
    Py_DECREF(value);
    return *now == -1.0 && PyErr_Occurred() ? -1 : 0;
}

/* Seconds until the loop has something to do by itself; negative: no limit. -1 is returned on an error. */
static int timeout_of(Kernel *self, double *timeout)
{
    double moment, now;
    if (PyObject_Size(self->ready) > 0 || soon_count(self) > 0) {
        *timeout = 0;
    } else if (!first_timer(self, &moment)) {
        *timeout = -1;
    } else {
        if (read_clock(self, &now) < 0)
            return -1;
        *timeout = moment <= now ? 0 : Py_MIN(moment - now, LONGEST_POLL);
    }
    return 0;
}

#ifdef __linux__
/* Wait in epoll_wait(2), and resume the tasks whose descriptors are ready. */
static int turn_epoll(Kernel *self, int waker)
{
    struct epoll_event events[MAX_EVENTS];
    Slot *slots[MAX_EVENTS];
    int count, status = 0;
    for (;;) {
        double timeout;
        if (timeout_of(self, &timeout) < 0)
            return -1;
        int milliseconds = timeout < 0 ? -1 : (int)ceil(timeout * 1000);
        Py_BEGIN_ALLOW_THREADS
        count = epoll_wait(self->epoll, events, MAX_EVENTS, milliseconds);
        Py_END_ALLOW_THREADS
        if (count >= 0)
            break;
        if (errno != EINTR) {
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        if (PyErr_CheckSignals() < 0)
            return -1;
    }
    for (int i = 0; i < count; i++)
        slots[i] = find_slot(self, events[i].data.fd);
    for (int i = 0; i < count; i++) {
        if (status == 0)
            status = dispatch(self, events[i].data.fd, slots[i], (int)events[i].events, waker);
        Py_XDECREF(slots[i]);
    }
    return status;
}
#endif

/* The same by the poller's method, which returns pairs of descriptor and bits. */
static int turn_poller(Kernel *self, int waker)
{
    double timeout;
    if (timeout_of(self, &timeout) < 0)
        return -1;
    PyObject *argument = timeout < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble(timeout);
    PyObject *events =
        argument == NULL ? NULL : PyObject_CallMethodOneArg(self->poller, self->core->names[NAME_poll], argument);
    Py_XDECREF(argument);
    if (events == NULL || !PyList_Check(events)) {
        if (events != NULL)
            PyErr_SetString(PyExc_TypeError, "poll returns a list");
        Py_XDECREF(events);
        return -1;
    }
    Py_ssize_t count = PyList_GET_SIZE(events);
    struct {
        int descriptor, bits;
        Slot *slot;
    } *found = PyMem_Calloc(count > 0 ? count : 1, sizeof *found);
    int status = found == NULL ? (PyErr_NoMemory(), -1) : 0;
    for (Py_ssize_t i = 0; i < count && status == 0; i++) {
        PyObject *event = PyList_GET_ITEM(events, i);
        if (!PyTuple_Check(event) || !PyArg_ParseTuple(event, "ii", &found[i].descriptor, &found[i].bits))
            status = PyErr_Occurred() ? -1 : (PyErr_SetString(PyExc_TypeError, "poll returns pairs"), -1);
        else
            found[i].slot = find_slot(self, found[i].descriptor);
    }
    Py_DECREF(events);
    for (Py_ssize_t i = 0; i < count && found != NULL; i++) {
        if (status == 0)
            status = dispatch(self, found[i].descriptor, found[i].slot, found[i].bits, waker);
        Py_XDECREF(found[i].slot);
    }
    PyMem_Free(found);
    return status;
}

static int turn(Kernel *self, int waker)
{
#ifdef __linux__
    if (self->epoll >= 0)
        return turn_epoll(self, waker);
#endif
    return turn_poller(self, waker);
}

static int run_ready(Kernel *self)
{
    /* The answers to what has come do not wait for a task that has handed over its turn. */
    if (PyObject_Size(self->ready) > 0 && soon_count(self) > 0 && run_soon(self) < 0)
        return -1;
    for (Py_ssize_t left = PyObject_Size(self->ready); left > 0; left--) {
        PyObject *task = PyObject_CallMethodNoArgs(self->ready, self->core->names[NAME_popleft]);
        if (task == NULL)
            return -1;
        int status = step(self, (Task *)task);
        Py_DECREF(task);
        if (status < 0 || run_soon_if_many(self) < 0)
            return -1;
    }
    return 0;
}

static int run_due_timers(Kernel *self)
{
    double moment, now;
    if (!first_timer(self, &moment))
        return 0;
    if (read_clock(self, &now) < 0)
        return -1;
    return moment <= now ? call(self, self->core->names[NAME__run_timers]) : 0;
}

static int is_done(Kernel *self, PyObject *task)
{
    if (PyObject_TypeCheck(task, self->core->task_type))
        return ((Task *)task)->done;
    PyObject *done = PyObject_GetAttrString(task, "done");
    int answer = done == NULL ? -1 : PyObject_IsTrue(done);
    Py_XDECREF(done);
    return answer;
}

PyDoc_STRVAR(loop_until_doc, "_loop_until($self, main, waker, /)\n--\n\n"
                             "Run tasks until this one is done.");

static PyObject *kernel_loop_until(Kernel *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "_loop_until takes 2 arguments, not %zd", count);
    int waker = (int)PyLong_AsLong(args[1]);
    if (waker == -1 && PyErr_Occurred())
        return NULL;
    for (;;) {
        if (turn(self, waker) < 0 || run_due_timers(self) < 0 || run_ready(self) < 0)
            return NULL;
        if (soon_count(self) > 0 && run_soon(self) < 0)
            return NULL;
        int done = is_done(self, args[0]);
        if (done != 0)
            return done < 0 ? NULL : Py_NewRef(Py_None);
    }
}

static PyObject *kernel_run_soon(Kernel *self, PyObject *unused)
{
    (void)unused;
    return run_soon(self) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(slot_doc, "_slot($self, descriptor, /)\n--\n\nReturn a descriptor's slot; None: it has none.");

static PyObject *kernel_slot(Kernel *self, PyObject *descriptor)
{
    long number = PyLong_AsLong(descriptor);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    Slot *slot = find_slot(self, number);
    return slot != NULL ? (PyObject *)slot : Py_NewRef(Py_None);
}

PyDoc_STRVAR(make_slot_doc, "_make_slot($self, descriptor, /)\n--\n\nGive a descriptor a slot, and return it.");

static PyObject *kernel_make_slot(Kernel *self, PyObject *descriptor)
{
    long number = PyLong_AsLong(descriptor);
    return number == -1 && PyErr_Occurred() ? NULL : (PyObject *)make_slot(self, number);
}

PyDoc_STRVAR(drop_slot_doc, "_drop_slot($self, descriptor, /)\n--\n\nForget a descriptor's slot; harmless without one.");

static PyObject *kernel_drop_slot(Kernel *self, PyObject *descriptor)
{
    long number = PyLong_AsLong(descriptor);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    drop_slot(self, number);
    return Py_NewRef(Py_None);
}

static PyMethodDef kernel_methods[] = {
    {"_slot", (PyCFunction)kernel_slot, METH_O, slot_doc},
    {"_make_slot", (PyCFunction)kernel_make_slot, METH_O, make_slot_doc},
    {"_drop_slot", (PyCFunction)kernel_drop_slot, METH_O, drop_slot_doc},
    {"_loop_until", (PyCFunction)(void (*)(void))kernel_loop_until, METH_FASTCALL, loop_until_doc},
    {"_run_soon", (PyCFunction)kernel_run_soon, METH_NOARGS, "Make the calls that wait for the end of the turn."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef kernel_members[] = {
    {"now", T_OBJECT, offsetof(Kernel, now), 0, NULL},
    {"_current", T_OBJECT, offsetof(Kernel, current), 0, NULL},
    {"_epoll", T_INT, offsetof(Kernel, epoll), 0, NULL},
    {"_poller", T_OBJECT, offsetof(Kernel, poller), 0, NULL},
    {"_ready", T_OBJECT, offsetof(Kernel, ready), 0, NULL},
    {"_soon", T_OBJECT, offsetof(Kernel, soon), 0, NULL},
    {"_timers", T_OBJECT, offsetof(Kernel, timers), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static int kernel_traverse(Kernel *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->now);
    for (long i = 0; i < self->slots_size; i++)
        Py_VISIT(self->slots[i]);
    Py_VISIT(self->ready);
    Py_VISIT(self->soon);
    Py_VISIT(self->timers);
    Py_VISIT(self->current);
    Py_VISIT(self->poller);
    for (int i = 0; i < self->unsent_count; i++)
        Py_VISIT(self->unsent[i]);
    return 0;
}

static int kernel_clear(Kernel *self)
{
    Py_CLEAR(self->now);
    for (long i = 0; i < self->slots_size; i++)
        Py_CLEAR(self->slots[i]);
    Py_CLEAR(self->ready);
    Py_CLEAR(self->soon);
    Py_CLEAR(self->timers);
    Py_CLEAR(self->current);
    Py_CLEAR(self->poller);
    while (self->unsent_count > 0)
        Py_DECREF(self->unsent[--self->unsent_count]);
    return 0;
}

static void kernel_dealloc(Kernel *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    kernel_clear(self);
    PyMem_Free(self->slots);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot kernel_slots[] = {
    {Py_tp_new, kernel_new},
    {Py_tp_methods, kernel_methods},
    {Py_tp_members, kernel_members},
    {Py_tp_traverse, kernel_traverse},
    {Py_tp_clear, kernel_clear},
    {Py_tp_dealloc, kernel_dealloc},
    {0, NULL},
};

static PyType_Spec kernel_spec = {
    .name = "socketkit._core._native.Kernel",
    .basicsize = sizeof(Kernel),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = kernel_slots,
};

int add_kernel(PyObject *module, CoreState *core)
{
    if (add_type(module, &task_spec, &core->task_type) < 0 || add_type(module, &slot_spec, &core->slot_type) < 0)
        return -1;
    return add_type(module, &kernel_spec, &core->kernel_type);
}
