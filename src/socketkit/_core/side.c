/* Waiting in an asyncio loop. `side.py` is the same in Python.

   A side is what a task of asyncio takes for a future: the loop's reader callback calls the task's wake-up itself,
   without another turn of the loop. */

#include "core.h"

enum { CROWD = 4, TRIAL = 64 }; /* as in side.py */

/* Loop: the calls at the end of a turn. */

static PyObject *loop_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs; /* the class's own `__init__` takes them */
    PyObject *module = PyType_GetModuleByDef(type, &core_module);
    Loop *self = module == NULL ? NULL : (Loop *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->core = PyModule_GetState(module);
    self->trial = TRIAL;
    self->soon = PyList_New(0);
    self->readers = PyDict_New();
    if (self->soon == NULL || self->readers == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Make the calls; what one lets out is reported, and ends nothing else. */
static int run_soon(Loop *self)
{
    PyObject *calls = self->soon;
    self->soon = PyList_New(0);
    if (self->soon == NULL) {
        self->soon = calls;
        return -1;
    }
    self->gathered += (int)PyList_GET_SIZE(calls);
    int status = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(calls) && status == 0; i++) {
        PyObject *result = PyObject_CallNoArgs(PyList_GET_ITEM(calls, i));
        if (result == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
            PyObject *error = take_exception();
            result = PyObject_CallMethodOneArg((PyObject *)self, self->core->names[NAME__report], error);
            Py_DECREF(error);
        }
        status = result == NULL ? -1 : 0;
        Py_XDECREF(result);
    }
    Py_DECREF(calls);
    return status;
}

/* Have the loop make the calls in its next turn. */
static int call_run_called(Loop *self)
{
    self->is_called = true;
    self->gathered = 0;
    PyObject *callback = PyObject_GetAttrString((PyObject *)self, "_run_called");
    PyObject *handle = callback == NULL ? NULL : PyObject_CallMethod(self->loop, "call_soon", "O", callback);
    Py_XDECREF(callback);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

static int end_turn(Loop *self)
{
    self->trial--;
    if (!self->is_called && (self->is_crowded || self->trial == 0))
        return call_run_called(self);
    return run_soon(self);
}

static PyObject *loop_call_soon(Loop *self, PyObject *callback)
{
    if (!self->inside && !self->is_called && call_run_called(self) < 0)
        return NULL;
    return PyList_Append(self->soon, callback) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *loop_run_called(Loop *self, PyObject *unused)
{
    (void)unused;
    self->is_called = false;
    if (run_soon(self) < 0)
        return NULL;
    self->is_crowded = self->gathered >= CROWD;
    self->trial = TRIAL;
    return Py_NewRef(Py_None);
}

static PyMethodDef loop_methods[] = {
    {"call_soon", (PyCFunction)loop_call_soon, METH_O,
     "call_soon($self, callback, /)\n--\n\nCall a function at the end of the current turn."},
    {"_run_called", (PyCFunction)loop_run_called, METH_NOARGS,
     "_run_called($self, /)\n--\n\nMake the calls that wait for the end of the turn; the loop calls this."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef loop_members[] = {
    {"loop", T_OBJECT, offsetof(Loop, loop), 0, NULL},
    {"_readers", T_OBJECT, offsetof(Loop, readers), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static int loop_traverse(Loop *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->loop);
    Py_VISIT(self->readers);
    Py_VISIT(self->soon);
    return 0;
}

/* `readers` and `soon` stay: they are always there. What they hold is let go. */
static int loop_clear(Loop *self)
{
    Py_CLEAR(self->loop);
    if (self->readers != NULL)
        PyDict_Clear(self->readers);
    if (self->soon != NULL)
        PyList_SetSlice(self->soon, 0, PyList_GET_SIZE(self->soon), NULL);
    return 0;
}

static void loop_dealloc(Loop *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    loop_clear(self);
    Py_CLEAR(self->readers);
    Py_CLEAR(self->soon);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot loop_slots[] = {
    {Py_tp_new, loop_new},           {Py_tp_methods, loop_methods}, {Py_tp_members, loop_members},
    {Py_tp_traverse, loop_traverse}, {Py_tp_clear, loop_clear},     {Py_tp_dealloc, loop_dealloc},
    {0, NULL},
};

static PyType_Spec loop_spec = {
    .name = "socketkit._core._native.LoopCore",
    .basicsize = sizeof(Loop),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = loop_slots,
};

/* Side: a descriptor and a direction. */

static PyObject *side_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)kwargs; /* the class's own `__init__` takes the rest */
    PyObject *module = PyType_GetModuleByDef(type, &core_module);
    if (module == NULL)
        return NULL;
    CoreState *core = PyModule_GetState(module);
    if (PyTuple_GET_SIZE(args) < 1 || !PyObject_TypeCheck(PyTuple_GET_ITEM(args, 0), core->loop_type)) {
        PyErr_SetString(PyExc_TypeError, "a side is made with its engine");
        return NULL;
    }
    Side *self = (Side *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->core = core;
        self->engine = (Loop *)Py_NewRef(PyTuple_GET_ITEM(args, 0));
        self->blocking = Py_NewRef(Py_None);
    }
    return (PyObject *)self;
}

/* `__new__` has taken the engine. */
static int side_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)self, (void)args, (void)kwargs;
    return 0;
}

static void begin(Side *self)
{
    self->busy = true;
    self->is_yielded = false;
    Py_XSETREF(self->blocking, Py_NewRef(Py_True));
}

static void end(Side *self)
{
    self->busy = self->is_yielded = false;
    Py_XSETREF(self->blocking, Py_NewRef(Py_None));
    Py_CLEAR(self->error);
    Py_CLEAR(self->callback);
    Py_CLEAR(self->deadline);
}

/* The iterator of one wait. It is an object of its own, so that asyncio takes no side for a coroutine. */
static PyObject *new_wait(Side *side)
{
    SideWait *wait = PyObject_GC_New(SideWait, side->core->wait_type);
    if (wait == NULL)
        return NULL;
    wait->side = (Side *)Py_NewRef(side);
    PyObject_GC_Track(wait);
    begin(side);
    return (PyObject *)wait;
}

/* Begin to wait at a side that is watched already. NULL without an exception: the engine's `wait` is to do it. */
PyObject *start_side(Loop *engine, int descriptor, PyObject **yielded)
{
    PyObject *key = PyLong_FromLong(descriptor);
    Side *side = key == NULL ? NULL : (Side *)PyDict_GetItemWithError(engine->readers, key);
    Py_XDECREF(key);
    if (side == NULL || !PyObject_TypeCheck((PyObject *)side, engine->core->side_type) || side->busy || !side->armed) {
        PyErr_Clear();
        return NULL;
    }
    Py_CLEAR(side->deadline);
    PyObject *wait = new_wait(side);
    if (wait != NULL) {
        side->is_yielded = true;
        *yielded = Py_NewRef(side);
    }
    return wait;
}

static PyObject *side_await(Side *self)
{
    if (self->busy) {
        PyObject *descriptor = PyLong_FromLong(self->descriptor);
        PyObject *error = descriptor == NULL ? NULL
                                             : PyObject_CallMethodOneArg((PyObject *)self->engine,
                                                                         self->core->names[NAME_busy_error], descriptor);
        Py_XDECREF(descriptor);
        if (error != NULL)
            PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_XDECREF(error);
        return NULL;
    }
    if (!self->armed) {
        PyObject *armed = PyObject_CallMethodNoArgs((PyObject *)self, self->core->names[NAME_arm]);
        int is_armed = armed == NULL ? -1 : PyObject_IsTrue(armed);
        Py_XDECREF(armed);
        if (is_armed <= 0)
            return is_armed < 0 ? NULL : Py_NewRef(self->core->done);
    }
    if (!is_none(self->deadline)) {
        PyObject *result = PyObject_CallMethod((PyObject *)self, "_begin_timer", NULL);
        if (result == NULL)
            return NULL;
        Py_DECREF(result);
    }
    return new_wait(self);
}

static PySendResult wait_send(SideWait *self, PyObject *value, PyObject **result)
{
    (void)value;
    Side *side = self->side;
    if (side->busy && !side->is_yielded) {
        side->is_yielded = true;
        *result = Py_NewRef(side);
        return PYGEN_NEXT;
    }
    end(side);
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PyObject *wait_iternext(SideWait *self)
{
    PyObject *result;
    if (wait_send(self, Py_None, &result) == PYGEN_NEXT)
        return result;
    Py_DECREF(result);
    return NULL; /* StopIteration */
}

static PyObject *wait_send_method(SideWait *self, PyObject *value)
{
    PyObject *result;
    if (wait_send(self, value, &result) == PYGEN_NEXT)
        return result;
    Py_DECREF(result);
    PyErr_SetNone(PyExc_StopIteration);
    return NULL;
}

static PyObject *wait_throw(SideWait *self, PyObject *const *args, Py_ssize_t count)
{
    end(self->side);
    return raise_thrown(args, count);
}

static PyObject *wait_close(SideWait *self, PyObject *unused)
{
    (void)unused;
    end(self->side);
    return Py_NewRef(Py_None);
}

static int wait_traverse(SideWait *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->side);
    return 0;
}

static void wait_dealloc(SideWait *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->side);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef wait_methods[] = {
    {"send", (PyCFunction)wait_send_method, METH_O, "As of a generator."},
    {"throw", (PyCFunction)(void (*)(void))wait_throw, METH_FASTCALL, "As of a generator."},
    {"close", (PyCFunction)wait_close, METH_NOARGS, "As of a generator."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot wait_slots[] = {
    {Py_am_send, wait_send},         {Py_tp_iter, itself},            {Py_tp_iternext, wait_iternext},
    {Py_tp_methods, wait_methods},   {Py_tp_traverse, wait_traverse}, {Py_tp_dealloc, wait_dealloc},
    {0, NULL},
};

static PyType_Spec wait_spec = {
    .name = "socketkit._core._native.SideWait",
    .basicsize = sizeof(SideWait),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = wait_slots,
};

static PyObject *side_add_done_callback(Side *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", "context", NULL};
    PyObject *callback, *context = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$O:add_done_callback", names, &callback, &context))
        return NULL;
    Py_XSETREF(self->callback, Py_NewRef(callback));
    Py_XSETREF(self->context, Py_NewRef(context));
    return Py_NewRef(Py_None);
}

static PyObject *side_result(Side *self, PyObject *unused)
{
    (void)unused;
    if (is_none(self->error))
        return Py_NewRef(Py_None);
    PyErr_SetObject((PyObject *)Py_TYPE(self->error), self->error);
    return NULL;
}

static PyObject *side_done(Side *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(is_none(self->callback));
}

static PyObject *side_get_loop(Side *self, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(self->engine->loop == NULL ? Py_None : self->engine->loop);
}

/* Resume the task. */
static int wake(Side *self)
{
    PyObject *callback = self->callback, *context = Py_XNewRef(self->context);
    self->callback = NULL;
    int status = -1;
    if (is_none(context) || PyContext_Enter(context) == 0) {
        PyObject *result = PyObject_CallOneArg(callback, (PyObject *)self);
        status = result == NULL ? -1 : 0;
        Py_XDECREF(result);
        if (!is_none(context)) {
            PyObject *error = status < 0 ? take_exception() : NULL;
            PyContext_Exit(context);
            if (error != NULL)
                restore_exception(error);
        }
    }
    Py_DECREF(callback);
    Py_XDECREF(context);
    return status;
}

static PyObject *side_finish(Side *self, PyObject *unused)
{
    (void)unused;
    if (is_none(self->callback))
        return Py_NewRef(Py_None);
    return wake(self) < 0 ? NULL : Py_NewRef(Py_None);
}

/* The loop's callback. uvloop passes what is held for as long as it watches. */
static PyObject *side_on_ready(Side *self, PyObject *const *args, Py_ssize_t count)
{
    (void)args, (void)count;
    if (is_none(self->callback)) /* no task waits: it would be reported again at every turn */
        return PyObject_CallMethodNoArgs((PyObject *)self, self->core->names[NAME_disarm]);
    if (!is_none(self->error))
        return Py_NewRef(Py_None);
    Loop *engine = (Loop *)Py_NewRef(self->engine);
    engine->inside = true;
    int status = wake(self);
    engine->inside = false;
    PyObject *error = status < 0 ? take_exception() : NULL;
    Py_ssize_t waiting = PyList_GET_SIZE(engine->soon);
    if (waiting > 0 && (!engine->is_called || waiting >= TURN_TASKS) && end_turn(engine) < 0)
        status = -1;
    Py_DECREF(engine);
    if (error != NULL) {
        PyErr_Clear();
        restore_exception(error);
    }
    return status < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef side_methods[] = {
    {"add_done_callback", (PyCFunction)(void (*)(void))side_add_done_callback, METH_VARARGS | METH_KEYWORDS,
     "As of a future."},
    {"result", (PyCFunction)side_result, METH_NOARGS, "As of a future."},
    {"done", (PyCFunction)side_done, METH_NOARGS, "As of a future."},
    {"get_loop", (PyCFunction)side_get_loop, METH_NOARGS, "As of a future."},
    {"finish", (PyCFunction)side_finish, METH_NOARGS,
     "finish($self, /)\n--\n\nResume the task, from a callback of the loop."},
    {"_on_ready", (PyCFunction)(void (*)(void))side_on_ready, METH_FASTCALL,
     "_on_ready($self, watch=None, /)\n--\n\nResume the task; the loop calls this when the descriptor is ready."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef side_members[] = {
    {"_asyncio_future_blocking", T_OBJECT, offsetof(Side, blocking), 0, NULL},
    {"_callback", T_OBJECT, offsetof(Side, callback), READONLY, NULL},
    {"_engine", T_OBJECT, offsetof(Side, engine), READONLY, NULL},
    {"_error", T_OBJECT, offsetof(Side, error), 0, NULL},
    {"armed", T_BOOL, offsetof(Side, armed), 0, NULL},
    {"busy", T_BOOL, offsetof(Side, busy), READONLY, NULL},
    {"deadline", T_OBJECT, offsetof(Side, deadline), 0, NULL},
    {"descriptor", T_INT, offsetof(Side, descriptor), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static int side_traverse(Side *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->engine);
    Py_VISIT(self->callback);
    Py_VISIT(self->context);
    Py_VISIT(self->error);
    Py_VISIT(self->deadline);
    return 0;
}

/* The engine stays: the methods need it, and it has a `tp_clear` of its own. */
static int side_clear(Side *self)
{
    Py_CLEAR(self->callback);
    Py_CLEAR(self->context);
    Py_CLEAR(self->error);
    Py_CLEAR(self->deadline);
    return 0;
}

static void side_dealloc(Side *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    side_clear(self);
    Py_CLEAR(self->blocking);
    Py_CLEAR(self->engine);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot side_slots[] = {
    {Py_tp_new, side_new},         {Py_tp_init, side_init},         {Py_am_await, side_await},
    {Py_tp_methods, side_methods}, {Py_tp_members, side_members},   {Py_tp_traverse, side_traverse},
    {Py_tp_clear, side_clear},     {Py_tp_dealloc, side_dealloc},   {0, NULL},
};

static PyType_Spec side_spec = {
    .name = "socketkit._core._native.SideCore",
    .basicsize = sizeof(Side),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = side_slots,
};

int add_side(PyObject *module, CoreState *core)
{
    if (add_type(module, &loop_spec, &core->loop_type) < 0)
        return -1;
    if (add_type(module, &wait_spec, &core->wait_type) < 0)
        return -1;
    return add_type(module, &side_spec, &core->side_type);
}
