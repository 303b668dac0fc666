/* Frames of WebSocket (RFC 6455, section 5). `websocket/frames.py` and `websocket/messages.py` are the same in Python.

   Two ways lead through here. The session decodes and encodes whole messages of one frame by itself, as every native
   framing. Everything else (fragments, control frames, compression) goes through `MessageReader`, which Python feeds.

   What is wrong is found here and named in Python: `MessageReader` asks its `judge` for the error. So errors exist
   once. */

#include "core.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>
#ifndef __GLIBC__
#include <sys/random.h>
#endif

enum { CONTINUATION = 0x0, TEXT = 0x1, BINARY = 0x2, CLOSE = 0x8, PING = 0x9, PONG = 0xA };
enum { FIN = 0x80, RSV1 = 0x40, RSV23 = 0x30, MASKED = 0x80, OPCODE = 0x0F, IS_CONTROL = 0x08 };
enum { MAX_CONTROL_SIZE = 125, MAX_HEAD_SIZE = 14 };

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* Masks. */

/* Put a mask on, or take it off: both are the same. Returns the bits that are set in any byte, eight times over. */
static uint64_t apply_mask(char *restrict to, const char *restrict from, Py_ssize_t size, const char *mask)
{
    uint32_t key;
    memcpy(&key, mask, sizeof key);
    uint64_t wide = (uint64_t)key << 32 | key, word, seen = 0;
    Py_ssize_t at = 0;
    for (; at + (Py_ssize_t)sizeof word <= size; at += sizeof word) {
        memcpy(&word, from + at, sizeof word);
        word ^= wide;
        seen |= word;
        memcpy(to + at, &word, sizeof word);
    }
    for (; at < size; at++) {
        to[at] = (char)(from[at] ^ mask[at & 3]);
        seen |= (unsigned char)to[at];
    }
    return seen;
}

/* Unpredictable masks (5.3), a system call for a number of them. Each thread has its own, and so has a child. */
static _Thread_local char random_bytes[256];
static _Thread_local int random_left;

static void forget_random_bytes(void)
{
    random_left = 0;
}

static void forget_them_after_fork(void)
{
    pthread_atfork(NULL, NULL, forget_random_bytes);
}

/* Four random bytes; NULL: the system has none now. */
static const char *next_mask(void)
{
    if (random_left == 0) {
        if (getentropy(random_bytes, sizeof random_bytes) < 0)
            return NULL;
        random_left = sizeof random_bytes;
    }
    random_left -= 4;
    return random_bytes + random_left;
}

/* Heads. */

typedef struct {
    unsigned char first; /* FIN, RSV1 and the opcode */
    int size;            /* bytes of the head, with the mask; while it is not whole, more than there are */
    Py_ssize_t payload;  /* bytes behind it */
    Py_ssize_t needed;   /* bytes that must be there before more can be said; those of the frame when the head is whole */
} Head;

/* Whether the first two bytes break a rule (5.2, 5.5). */
static bool is_wrong(unsigned char first, unsigned char second, bool is_masked)
{
    int opcode = first & OPCODE;
    if ((first & RSV23) != 0 || opcode > PONG || (opcode > BINARY && opcode < CLOSE))
        return true;
    if ((opcode & IS_CONTROL) != 0 && ((first & (FIN | RSV1)) != FIN || (second & 0x7F) > MAX_CONTROL_SIZE))
        return true;
    return ((second & MASKED) != 0) != is_masked;
}

/* Read the head of a frame. WHOLE: the frame is there. UNUSUAL: it breaks a rule, or is larger than `max_size`. */
static Found read_head(const char *bytes, Py_ssize_t size, bool is_masked, Py_ssize_t max_size, Head *head)
{
    const unsigned char *data = (const unsigned char *)bytes;
    head->needed = 2;
    head->size = MAX_HEAD_SIZE;
    if (size < 2)
        return PART;
    if (is_wrong(data[0], data[1], is_masked))
        return UNUSUAL;
    unsigned long long length = data[1] & 0x7F;
    int extended = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (extended > 0) {
        head->needed = 2 + extended;
        if (size < head->needed)
            return PART;
        length = 0;
        for (int i = 0; i < extended; i++)
            length = length << 8 | data[2 + i];
        if (length < (extended == 2 ? 126u : 0x10000u))
            return UNUSUAL; /* not the shortest form */
    }
    if (length > (unsigned long long)max_size)
        return UNUSUAL;
    head->first = data[0];
    head->size = 2 + extended + (is_masked ? 4 : 0);
    head->payload = (Py_ssize_t)length;
    head->needed = head->size + head->payload;
    return size < head->needed ? PART : WHOLE;
}

/* Write a head, without a mask; returns its size. */
static int write_head(char *to, unsigned char first, Py_ssize_t size, bool is_masked)
{
    unsigned char flag = is_masked ? MASKED : 0;
    to[0] = (char)first;
    if (size <= MAX_CONTROL_SIZE) {
        to[1] = (char)(flag | size);
        return 2;
    }
    int extended = size < 0x10000 ? 2 : 8;
    to[1] = (char)(flag | (extended == 2 ? 126 : 127));
    for (int i = 0; i < extended; i++)
        to[2 + i] = (char)((unsigned long long)size >> (8 * (extended - 1 - i)));
    return 2 + extended;
}

/* Text. */

static PyObject *ascii_text(Py_ssize_t size, char **place)
{
    PyObject *text = PyUnicode_New(size, 0x7F);
    if (text != NULL)
        *place = (char *)PyUnicode_1BYTE_DATA(text);
    return text;
}

/* Read text below a mask. Mostly it is ASCII: the mask is taken off where the text is to be. */
static PyObject *read_masked_text(const char *data, Py_ssize_t size, const char *mask)
{
    if (size < 2) { /* the shared objects of short texts */
        char byte = size == 0 ? 0 : (char)(data[0] ^ mask[0]);
        return PyUnicode_DecodeUTF8(&byte, size, NULL);
    }
    char *place;
    PyObject *text = ascii_text(size, &place);
    if (text == NULL || (apply_mask(place, data, size, mask) & HIGH_BITS) == 0)
        return text;
    PyObject *decoded = PyUnicode_DecodeUTF8(place, size, NULL);
    Py_DECREF(text);
    return decoded;
}

static PyObject *read_masked_bytes(const char *data, Py_ssize_t size, const char *mask)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, size);
    if (bytes != NULL && size > 1) /* smaller ones are shared objects */
        apply_mask(PyBytes_AS_STRING(bytes), data, size, mask);
    else if (bytes != NULL && size == 1) {
        char byte = (char)(data[0] ^ mask[0]);
        Py_SETREF(bytes, PyBytes_FromStringAndSize(&byte, 1));
    }
    return bytes;
}

/* Make the payload an object. `mask`: NULL: there is none. */
static PyObject *read_payload(const char *data, Py_ssize_t size, const char *mask, bool is_text)
{
    if (mask == NULL)
        return is_text ? read_utf8(data, size) : PyBytes_FromStringAndSize(data, size);
    return is_text ? read_masked_text(data, size, mask) : read_masked_bytes(data, size, mask);
}

/* Text that is not whole. */

/* Bytes of the character that begins here, as its first byte says; 0: none begins so. */
static int character_size(unsigned char first)
{
    return first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
}

/* Whether a byte may stand at this place of a character (RFC 3629, section 4). */
static bool may_continue(unsigned char first, int place, unsigned char byte)
{
    unsigned char low = 0x80, high = 0xBF;
    if (place == 1) {
        low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
        high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    }
    return byte >= low && byte <= high;
}

/* Check UTF-8 that goes on behind it: where the last character begins that is not whole; -1: it is no UTF-8. */
static Py_ssize_t check_utf8(const char *bytes, Py_ssize_t at, Py_ssize_t end)
{
    const unsigned char *data = (const unsigned char *)bytes;
    while (at < end) {
        uint64_t word;
        if (end - at >= (Py_ssize_t)sizeof word && (memcpy(&word, data + at, sizeof word), (word & HIGH_BITS) == 0)) {
            at += sizeof word;
            continue;
        }
        while (end - at >= 2 && data[at] >= 0xC2 && data[at] < 0xE0 && (data[at + 1] & 0xC0) == 0x80)
            at += 2; /* most characters of most scripts are usual, and need no more tests */
        while (end - at >= 3 && data[at] > 0xE0 && data[at] < 0xED && ((data[at + 1] & data[at + 2]) & 0xC0) == 0x80 &&
               ((data[at + 1] | data[at + 2]) & 0x40) == 0)
            at += 3;
        if (at == end || data[at] < 0x80) {
            at += at < end;
            continue;
        }
        int size = character_size(data[at]);
        if (size == 0)
            return -1;
        for (int place = 1; place < size && at + place < end; place++)
            if (!may_continue(data[at], place, data[at + place]))
                return -1;
        if (end - at < size)
            return at;
        at += size;
    }
    return at;
}

/* Whether the text of a frame is UTF-8 so far (8.1), of which the first `*checked` bytes were looked at: grows. */
static bool is_utf8_so_far(const char *payload, Py_ssize_t size, const char *mask, Py_ssize_t *checked)
{
    char plain[1024], turned[4];
    while (*checked < size) {
        const char *data = payload + *checked;
        Py_ssize_t count = size - *checked, whole;
        bool is_rest = mask == NULL || count <= (Py_ssize_t)sizeof plain;
        if (mask == NULL) {
            whole = check_utf8(data, 0, count);
        } else {
            count = Py_MIN(count, (Py_ssize_t)sizeof plain);
            for (int i = 0; i < 4; i++)
                turned[i] = mask[(*checked + i) & 3];
            bool is_ascii = (apply_mask(plain, data, count, turned) & HIGH_BITS) == 0;
            whole = is_ascii ? count : check_utf8(plain, 0, count);
        }
        if (whole < 0)
            return false;
        *checked += whole;
        if (is_rest)
            break; /* a character that is not whole is left */
    }
    return true;
}

/* The session's way: whole messages of one frame. */

/* Find a frame that is a whole message. UNUSUAL: a fragment, a control frame, or a mistake. `*checked`: how much of the
   payload of a text was looked at that is not whole. */
Found find_websocket(const Format *format, const char *data, Py_ssize_t size, Py_ssize_t *checked, Frame *frame)
{
    unsigned char first = (unsigned char)data[0];
    if (first != (FIN | TEXT) && first != (FIN | BINARY))
        return UNUSUAL;
    Head head;
    Found found = read_head(data, size, format->is_masked, format->max_size, &head);
    if (found == WHOLE) {
        *frame = (Frame){head.size, head.payload, head.needed};
    } else if (found == PART && first == (FIN | TEXT) && size > head.size) {
        const char *payload = data + head.size;
        if (!is_utf8_so_far(payload, size - head.size, format->is_masked ? payload - 4 : NULL, checked))
            found = UNUSUAL;
    }
    return found;
}

/* Make the message of such a frame. NULL with a UnicodeDecodeError: it is no text. */
PyObject *read_websocket(const Format *format, const char *data, const Frame *frame)
{
    bool is_text = (unsigned char)data[0] == (FIN | TEXT);
    const char *payload = data + frame->begin;
    return read_payload(payload, frame->size, format->is_masked ? payload - 4 : NULL, is_text);
}

/* Append the frame of a message. UNUSUAL: it is no text and no bytes, or no Unicode. */
Found write_websocket(const Format *format, Buffer *buffer, PyObject *message)
{
    const char *data;
    Py_ssize_t size = 0;
    PyObject *encoded;
    bool is_binary = PyBytes_CheckExact(message);
    unsigned char first = FIN | (is_binary ? BINARY : TEXT);
    Found found = encode_text(is_binary ? BYTES : UTF8, message, &data, &size, &encoded);
    if (found != WHOLE)
        return found;
    const char *mask = NULL;
    if (!format->is_masked && (mask = next_mask()) == NULL) /* the peer is a server */
        found = UNUSUAL;
    else if (make_room(buffer, size + MAX_HEAD_SIZE) < 0)
        found = FAILED;
    if (found == WHOLE) {
        char *place = buffer->data + buffer->end;
        place += write_head(place, first, size, mask != NULL);
        if (mask != NULL) {
            memcpy(place, mask, 4);
            place += 4;
            apply_mask(place, data, size, mask);
        } else {
            memcpy(place, data, size);
        }
        buffer->end = place + size - buffer->data;
    }
    Py_XDECREF(encoded);
    return found;
}

/* MessageReader: bytes of one peer to messages and control frames. */

typedef struct {
    PyObject_HEAD
    CoreState *core;
    PyObject *judge;   /* names what is wrong: `websocket.messages.MessageDecoder` */
    PyObject *deflate; /* undoes compression; None: none was agreed on */
    PyObject *fault;   /* the error; None: nothing was wrong so far */
    Py_ssize_t max_size, max_frame_size;
    Buffer held;        /* of a frame that is not whole */
    Py_ssize_t needed;  /* bytes of `held` without which nothing more can be said */
    Py_ssize_t checked; /* bytes of the payload of `held` that are UTF-8 */
    Buffer message;     /* the fragments so far, without masks and compression; its `next`: as far as it is UTF-8 */
    char is_masked;
    char is_open;       /* a fragment came, and not the last one */
    char is_text;       /* the message under way */
    char is_compressed;
} Reader;

static void drop_buffer(Buffer *buffer)
{
    PyMem_RawFree(buffer->data);
    *buffer = (Buffer){0};
}

/* Take what a method of `judge` returns for the fault. */
static Found refuse(Reader *self, PyObject *error)
{
    if (error == NULL)
        return FAILED;
    Py_XSETREF(self->fault, error);
    return UNUSUAL;
}

static Found refuse_size(Reader *self, Py_ssize_t size)
{
    return refuse(self, PyObject_CallMethod(self->judge, "size_fault", "nn", size, self->max_size));
}

static Found refuse_text(Reader *self, const char *data, Py_ssize_t size)
{
    return refuse(self, PyObject_CallMethod(self->judge, "text_fault", "y#", data, size));
}

/* Append a message, or a control frame, to what was found; takes the reference to the payload. */
static Found found_item(PyObject *found, int kind, PyObject *payload)
{
    PyObject *item = payload == NULL ? NULL : Py_BuildValue("iN", kind, payload);
    int status = item == NULL ? -1 : PyList_Append(found, item);
    Py_XDECREF(item);
    return status < 0 ? FAILED : WHOLE;
}

/* A message of one frame that is not compressed. */
static Found take_single(Reader *self, const Head *head, const char *payload, const char *mask, PyObject *found)
{
    bool is_text = (head->first & OPCODE) == TEXT;
    if (head->payload > self->max_size)
        return refuse_size(self, head->payload);
    PyObject *message = read_payload(payload, head->payload, mask, is_text);
    if (message == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        PyObject *bytes = read_payload(payload, head->payload, mask, false);
        if (bytes == NULL)
            return FAILED;
        Found refused = refuse_text(self, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
        Py_DECREF(bytes);
        return refused;
    }
    return found_item(found, is_text ? TEXT : BINARY, message);
}

/* Undo the compression of a fragment, and append it. */
static Found append_inflated(Reader *self, const Head *head, const char *payload, const char *mask)
{
    PyObject *data = read_payload(payload, head->payload, mask, false);
    if (data == NULL)
        return FAILED;
    bool is_last = (head->first & FIN) != 0;
    PyObject *inflated = PyObject_CallMethod(self->deflate, "decompress", "OnO", data,
                                             self->max_size - self->message.end, is_last ? Py_True : Py_False);
    Py_DECREF(data);
    if (inflated == NULL) {
        PyObject *error = take_exception();
        PyObject *fault = PyObject_CallMethod(self->judge, "raised_fault", "O", error); /* which raises what is none */
        Py_DECREF(error);
        return refuse(self, fault);
    }
    Found status = FAILED;
    if (!PyBytes_Check(inflated)) {
        PyErr_SetString(PyExc_TypeError, "decompress returns bytes");
    } else if (make_room(&self->message, PyBytes_GET_SIZE(inflated)) == 0) {
        status = WHOLE;
        if (PyBytes_GET_SIZE(inflated) > 0) { /* memcpy(3) takes no null pointer */
            memcpy(self->message.data + self->message.end, PyBytes_AS_STRING(inflated), PyBytes_GET_SIZE(inflated));
            self->message.end += PyBytes_GET_SIZE(inflated);
        }
        if (self->message.end > self->max_size)
            status = refuse_size(self, self->message.end);
    }
    Py_DECREF(inflated);
    return status;
}

static Found append_plain(Reader *self, const Head *head, const char *payload, const char *mask)
{
    Buffer *message = &self->message;
    if (make_room(message, head->payload) < 0)
        return FAILED;
    if (head->payload == 0)
        return WHOLE;
    if (mask != NULL)
        apply_mask(message->data + message->end, payload, head->payload, mask);
    else
        memcpy(message->data + message->end, payload, head->payload);
    message->end += head->payload;
    return WHOLE;
}

/* Check the text so far: an error is an error before the message ends (8.1). */
static Found check_text(Reader *self, bool is_last)
{
    Buffer *message = &self->message;
    Py_ssize_t checked = check_utf8(message->data, message->next, message->end);
    if (checked < 0 || (is_last && checked < message->end))
        return refuse_text(self, message->data + message->next, message->end - message->next);
    message->next = checked;
    return WHOLE;
}

/* A fragment of a message, or a compressed one. */
static Found take_fragment(Reader *self, const Head *head, const char *payload, const char *mask, PyObject *found)
{
    Buffer *message = &self->message;
    if (!self->is_compressed && message->end + head->payload > self->max_size)
        return refuse_size(self, message->end + head->payload);
    Found status = self->is_compressed ? append_inflated(self, head, payload, mask)
                                       : append_plain(self, head, payload, mask);
    bool is_last = (head->first & FIN) != 0;
    if (status == WHOLE && self->is_text)
        status = check_text(self, is_last);
    if (status != WHOLE || !is_last)
        return status;
    const char *data = message->data == NULL ? "" : message->data;
    status = found_item(found, self->is_text ? TEXT : BINARY, read_payload(data, message->end, NULL, self->is_text));
    drop_buffer(message);
    self->is_open = false;
    return status;
}

/* Take a whole frame. UNUSUAL: nothing behind it is decoded. */
static Found take_frame(Reader *self, const Head *head, const char *data, PyObject *found)
{
    const char *payload = data + head->size, *mask = self->is_masked ? payload - 4 : NULL;
    int opcode = head->first & OPCODE;
    if ((opcode & IS_CONTROL) != 0) {
        Found status = found_item(found, opcode, read_payload(payload, head->payload, mask, false));
        return status == WHOLE && opcode == CLOSE ? UNUSUAL : status;
    }
    if (!self->is_open && (head->first == (FIN | TEXT) || head->first == (FIN | BINARY)))
        return take_single(self, head, payload, mask, found);
    bool is_compressed = (head->first & RSV1) != 0, has_deflate = self->deflate != Py_None;
    if ((opcode == CONTINUATION) != (bool)self->is_open || (is_compressed && (self->is_open || !has_deflate)))
        return refuse(self, PyObject_CallMethod(self->judge, "order_fault", "iOO", (int)head->first,
                                                self->is_open ? Py_True : Py_False,
                                                has_deflate ? Py_True : Py_False));
    if (!self->is_open) {
        self->is_open = true;
        self->is_text = opcode == TEXT;
        self->is_compressed = is_compressed;
    }
    return take_fragment(self, head, payload, mask, found);
}

/* Take all frames that are whole. `*taken`: their bytes. */
static Found take_frames(Reader *self, const char *data, Py_ssize_t size, Py_ssize_t *taken, PyObject *found)
{
    Py_ssize_t at = 0;
    Found status;
    Head head;
    while ((status = read_head(data + at, size - at, self->is_masked, self->max_frame_size, &head)) == WHOLE) {
        status = take_frame(self, &head, data + at, found);
        if (status != WHOLE)
            return status;
        at += head.needed;
    }
    *taken = at;
    self->needed = head.needed;
    if (status == UNUSUAL)
        return refuse(self, PyObject_CallMethod(self->judge, "head_fault", "y#Onn", data + at,
                                                Py_MIN(size - at, MAX_HEAD_SIZE), self->is_masked ? Py_True : Py_False,
                                                self->max_frame_size, self->max_size));
    return status;
}

/* Check the text of the frame that is held, and not whole, behind the character that the fragments before it end in. */
static Found check_held(Reader *self)
{
    Buffer *held = &self->held, *message = &self->message;
    Head head;
    if (read_head(held->data, held->end, self->is_masked, self->max_frame_size, &head) != PART || held->end <= head.size)
        return PART;
    int opcode = head.first & OPCODE;
    bool is_next = self->is_open && self->is_text && !self->is_compressed && opcode == CONTINUATION;
    if ((head.first & RSV1) != 0 || !(is_next || (!self->is_open && opcode == TEXT)))
        return PART;
    const char *payload = held->data + head.size, *mask = self->is_masked ? payload - 4 : NULL;
    Py_ssize_t size = held->end - head.size, before = is_next ? message->end - message->next : 0;
    if (before > 0 && self->checked == 0) {
        char joined[8];
        Py_ssize_t count = Py_MIN(size, 4);
        memcpy(joined, message->data + message->next, before);
        for (Py_ssize_t i = 0; i < count; i++)
            joined[before + i] = (char)(payload[i] ^ (mask == NULL ? 0 : mask[i]));
        Py_ssize_t whole = check_utf8(joined, 0, before + count);
        if (whole < 0)
            return refuse_text(self, joined, before + count);
        if (whole < before)
            return PART;
        self->checked = whole - before;
    }
    if (is_utf8_so_far(payload, size, mask, &self->checked))
        return PART;
    PyObject *bytes = read_payload(payload, size, mask, false);
    if (bytes == NULL)
        return FAILED;
    Found refused = refuse_text(self, PyBytes_AS_STRING(bytes) + self->checked, size - self->checked);
    Py_DECREF(bytes);
    return refused;
}

/* Decode new bytes behind those that are held. */
static Found take_bytes(Reader *self, const char *data, Py_ssize_t size, PyObject *found)
{
    Buffer *held = &self->held;
    Py_ssize_t taken = size;
    Found status;
    if (held->end == 0) {
        status = take_frames(self, data, size, &taken, found);
        if (status != PART || taken == size)
            return status;
        if (make_room(held, size - taken) < 0)
            return FAILED;
        memcpy(held->data, data + taken, size - taken);
        held->end = size - taken;
        self->checked = 0;
        return check_held(self);
    }
    if (size == 0)
        return PART;
    if (make_room(held, size) < 0)
        return FAILED;
    memcpy(held->data + held->end, data, size);
    held->end += size;
    if (held->end < self->needed)
        return check_held(self);
    Buffer all = *held; /* a callee may run any code: it finds nothing held */
    *held = (Buffer){0};
    status = take_frames(self, all.data, all.end, &taken, found);
    if (status == PART && taken < all.end) {
        memmove(all.data, all.data + taken, all.end - taken);
        all.end -= taken;
        if (all.capacity > 2 * all.end) {
            char *smaller = PyMem_RawRealloc(all.data, all.end);
            if (smaller != NULL) {
                all.data = smaller;
                all.capacity = all.end;
            }
        }
        *held = all;
        self->checked = 0;
        status = check_held(self);
    } else {
        PyMem_RawFree(all.data);
    }
    return status;
}

static PyObject *reader_feed(Reader *self, PyObject *argument)
{
    if (self->fault != Py_None)
        return PyList_New(0);
    Py_buffer view;
    if (PyObject_GetBuffer(argument, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *found = PyList_New(0);
    if (found != NULL && take_bytes(self, view.buf, view.len, found) == FAILED)
        Py_CLEAR(found);
    PyBuffer_Release(&view);
    return found;
}

static PyObject *reader_buffered(Reader *self, void *closure)
{
    (void)closure;
    return PyLong_FromSsize_t(self->held.end + self->message.end + self->is_open);
}

static PyObject *reader_take_held(Reader *self, PyObject *unused)
{
    (void)unused;
    if (self->is_open) {
        PyErr_SetString(PyExc_ValueError, "a message is under way");
        return NULL;
    }
    PyObject *data = PyBytes_FromStringAndSize(self->held.data == NULL ? "" : self->held.data, self->held.end);
    if (data != NULL)
        drop_buffer(&self->held);
    return data;
}

static PyObject *reader_is_open(Reader *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(self->is_open);
}

static PyObject *reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)kwargs;
    PyObject *judge, *deflate;
    int is_masked;
    Py_ssize_t max_size, max_frame_size;
    if (!PyArg_ParseTuple(args, "OpnnO:MessageReader", &judge, &is_masked, &max_size, &max_frame_size, &deflate))
        return NULL;
    PyObject *module = PyType_GetModuleByDef(type, &core_module);
    Reader *self = module == NULL ? NULL : (Reader *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->core = PyModule_GetState(module);
    self->judge = Py_NewRef(judge);
    self->deflate = Py_NewRef(deflate);
    self->fault = Py_NewRef(Py_None);
    self->is_masked = (char)is_masked;
    self->max_size = max_size;
    self->max_frame_size = max_frame_size;
    self->needed = 2;
    return (PyObject *)self;
}

static int reader_traverse(Reader *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->judge);
    Py_VISIT(self->deflate);
    Py_VISIT(self->fault);
    return 0;
}

/* They stay set: the methods need them. */
static int reader_clear(Reader *self)
{
    Py_XSETREF(self->judge, Py_NewRef(Py_None));
    Py_XSETREF(self->deflate, Py_NewRef(Py_None));
    Py_XSETREF(self->fault, Py_NewRef(Py_None));
    return 0;
}

static void reader_dealloc(Reader *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->judge);
    Py_CLEAR(self->deflate);
    Py_CLEAR(self->fault);
    drop_buffer(&self->held);
    drop_buffer(&self->message);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef reader_methods[] = {
    {"feed", (PyCFunction)reader_feed, METH_O,
     "feed($self, data, /)\n--\n\nReturn what is now whole, as pairs of opcode and payload; see `MessageDecoder`."},
    {"take_held", (PyCFunction)reader_take_held, METH_NOARGS,
     "take_held($self, /)\n--\n\nTake back the bytes of a frame that is not whole, between two messages."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef reader_getset[] = {
    {"buffered", (getter)reader_buffered, NULL, "Bytes that are held of a message that is not whole.", NULL},
    {"is_open", (getter)reader_is_open, NULL, "Whether a fragment came, and not the last one.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef reader_members[] = {
    {"fault", T_OBJECT, offsetof(Reader, fault), 0, "What the peer has done wrong; None: nothing so far."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot reader_slots[] = {
    {Py_tp_new, reader_new},           {Py_tp_methods, reader_methods},   {Py_tp_getset, reader_getset},
    {Py_tp_members, reader_members},   {Py_tp_traverse, reader_traverse}, {Py_tp_clear, reader_clear},
    {Py_tp_dealloc, reader_dealloc},   {0, NULL},
};

static PyType_Spec reader_spec = {
    .name = "socketkit._core._native.MessageReader",
    .basicsize = sizeof(Reader),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = reader_slots,
};

/* Functions. */

PyObject *core_apply_mask(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer data, mask;
    if (!PyArg_ParseTuple(args, "y*y*:apply_mask", &data, &mask))
        return NULL;
    PyObject *masked = NULL;
    if (mask.len != 4)
        PyErr_SetString(PyExc_ValueError, "a mask has four bytes");
    else
        masked = read_masked_bytes(data.buf, data.len, mask.buf);
    PyBuffer_Release(&data);
    PyBuffer_Release(&mask);
    return masked;
}

PyObject *core_encode_frame(PyObject *module, PyObject *args)
{
    (void)module;
    unsigned char first;
    Py_buffer payload, mask = {0};
    if (!PyArg_ParseTuple(args, "by*|z*:encode_frame", &first, &payload, &mask))
        return NULL;
    PyObject *frame = NULL;
    char head[MAX_HEAD_SIZE];
    int size = write_head(head, first, payload.len, mask.buf != NULL);
    if (mask.buf != NULL && mask.len != 4) {
        PyErr_SetString(PyExc_ValueError, "a mask has four bytes");
    } else {
        if (mask.buf != NULL) {
            memcpy(head + size, mask.buf, 4);
            size += 4;
        }
        frame = PyBytes_FromStringAndSize(NULL, size + payload.len);
    }
    if (frame != NULL) {
        char *place = PyBytes_AS_STRING(frame);
        memcpy(place, head, size);
        if (mask.buf != NULL)
            apply_mask(place + size, payload.buf, payload.len, mask.buf);
        else if (payload.len > 0)
            memcpy(place + size, payload.buf, payload.len);
    }
    PyBuffer_Release(&payload);
    if (mask.obj != NULL)
        PyBuffer_Release(&mask);
    return frame;
}

int add_websocket(PyObject *module, CoreState *core)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (pthread_once(&once, forget_them_after_fork) != 0) {
        PyErr_SetString(PyExc_OSError, "pthread_once");
        return -1;
    }
    return add_type(module, &reader_spec, &core->reader_type);
}
