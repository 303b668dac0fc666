/* The native framings: where a frame ends, what its message is, and the bytes of a message.

   Only what is usual is decided here. Whatever is wrong with a frame, or over a limit, is UNUSUAL: the Python codec of
   the framing gets the bytes from that frame on, and says what is wrong and where. So errors exist once. */

#include "core.h"

#include <string.h>

enum { MAX_DIGITS = 19, MAX_VARINT_SIZE = 10 }; /* as in framing/decimal_prefixed.py and framing/varint.py */
enum { SMALLEST_ROOM = 256 };
enum { CHECKED_SIZE = 1024 }; /* bytes that are looked at ahead, whether they are ASCII */

/* Reading a description: the tuple that a codec's `native` returns. */

static int read_lines(PyObject *description, Format *format)
{
    const char *name, *encoding, *end;
    Py_ssize_t end_size;
    if (!PyArg_ParseTuple(description, "snzy#", &name, &format->max_size, &encoding, &end, &end_size))
        return -1;
    format->kind = LINES;
    format->encoding = encoding == NULL                 ? BYTES
                       : strcmp(encoding, "utf-8") == 0 ? UTF8
                       : strcmp(encoding, "ascii") == 0 ? ASCII
                                                        : LATIN1;
    memcpy(format->end, end, end_size);
    format->end_size = (int)end_size;
    return 0;
}

static int read_delimited(PyObject *description, Format *format)
{
    const char *name, *end;
    Py_ssize_t end_size;
    if (!PyArg_ParseTuple(description, "sny#", &name, &format->max_size, &end, &end_size))
        return -1;
    if (end_size < 1 || end_size > (Py_ssize_t)sizeof format->end)
        return 0; /* too long: it stays with Python */
    format->kind = DELIMITED;
    memcpy(format->end, end, end_size);
    format->end_size = (int)end_size;
    return 0;
}

static int read_length(PyObject *description, Format *format)
{
    const char *name;
    int is_little, keep_header;
    format->kind = LENGTH;
    if (!PyArg_ParseTuple(description, "snipiiip", &name, &format->max_size, &format->width, &is_little,
                          &format->before, &format->after, &format->counted, &keep_header))
        return -1;
    format->is_little = is_little;
    format->keep_header = keep_header;
    return 0;
}

static int read_websocket_description(PyObject *description, Format *format)
{
    const char *name;
    int is_masked;
    format->kind = WEBSOCKET;
    if (!PyArg_ParseTuple(description, "snp", &name, &format->max_size, &is_masked))
        return -1;
    format->is_masked = is_masked;
    return 0;
}

/* Read a description; None, or what is not known, is NOT_NATIVE. */
int read_format(PyObject *description, Format *format)
{
    memset(format, 0, sizeof *format);
    if (description == Py_None)
        return 0;
    if (!PyTuple_Check(description) || PyTuple_GET_SIZE(description) == 0) {
        PyErr_SetString(PyExc_TypeError, "a description is a tuple that begins with the name of a framing");
        return -1;
    }
    const char *name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(description, 0));
    if (name == NULL)
        return -1;
    if (strcmp(name, "chunks") == 0) {
        format->kind = CHUNKS;
        return 0;
    }
    if (strcmp(name, "lines") == 0)
        return read_lines(description, format);
    if (strcmp(name, "delimited") == 0)
        return read_delimited(description, format);
    if (strcmp(name, "length") == 0)
        return read_length(description, format);
    if (strcmp(name, "websocket") == 0)
        return read_websocket_description(description, format);
    Kind kind = strcmp(name, "fixed") == 0       ? FIXED
                : strcmp(name, "varint") == 0    ? VARINT
                : strcmp(name, "netstring") == 0 ? NETSTRING
                : strcmp(name, "octets") == 0    ? OCTETS
                                                 : NOT_NATIVE;
    if (kind != NOT_NATIVE && !PyArg_ParseTuple(description, "sn", &name, &format->max_size))
        return -1;
    format->kind = kind;
    return 0;
}

/* Finding a frame. `data` is the first byte that was not decoded, and `size` bytes are there. */

static inline Found find_line(const Format *format, const char *data, Py_ssize_t size, Py_ssize_t *scanned, Frame *frame)
{
    const char *end = size > *scanned ? memchr(data + *scanned, '\n', size - *scanned) : NULL;
    Py_ssize_t length = end == NULL ? size : end - data;
    Py_ssize_t payload = length - (length > 0 && data[length - 1] == '\r');
    if (payload > format->max_size)
        return UNUSUAL;
    *scanned = length;
    if (end == NULL)
        return PART;
    *frame = (Frame){0, payload, length + 1};
    return WHOLE;
}

static Found find_delimiter(const Format *format, const char *data, Py_ssize_t size, Py_ssize_t *scanned, Frame *frame)
{
    const char *end = NULL;
    int width = format->end_size;
    if (width == 1)
        end = size > *scanned ? memchr(data + *scanned, format->end[0], size - *scanned) : NULL;
    else if (size - *scanned >= width)
        end = memmem(data + *scanned, size - *scanned, format->end, width);
    Py_ssize_t length = end == NULL ? size : end - data;
    if (length > format->max_size)
        return UNUSUAL; /* without an end: a part of one may be there already, which Python looks for */
    if (end == NULL) {
        *scanned = Py_MAX(*scanned, size - width + 1);
        return PART;
    }
    *scanned = length;
    *frame = (Frame){0, length, length + width};
    return WHOLE;
}

static Found find_fixed(const Format *format, Py_ssize_t size, Frame *frame)
{
    *frame = (Frame){0, format->max_size, format->max_size};
    return size < format->max_size ? PART : WHOLE;
}

static Found find_length(const Format *format, const char *data, Py_ssize_t size, Frame *frame)
{
    int head = format->before + format->width + format->after;
    if (size < head)
        return PART;
    const unsigned char *field = (const unsigned char *)data + format->before;
    unsigned long long number = 0;
    for (int i = 0; i < format->width; i++)
        number = number << 8 | field[format->is_little ? format->width - 1 - i : i];
    if (number < (unsigned)format->counted || number - format->counted > (unsigned long long)format->max_size)
        return UNUSUAL;
    Py_ssize_t payload = (Py_ssize_t)(number - format->counted);
    *frame = format->keep_header ? (Frame){0, head + payload, head + payload}
                                 : (Frame){head, payload, head + payload};
    return size < head + payload ? PART : WHOLE;
}

static Found find_varint(const Format *format, const char *data, Py_ssize_t size, Frame *frame)
{
    unsigned long long number = 0;
    for (int i = 0; i < size; i++) {
        if (i == MAX_VARINT_SIZE - 1)
            return UNUSUAL; /* it may fit 64 bits or not */
        unsigned char byte = data[i];
        number |= (unsigned long long)(byte & 0x7F) << 7 * i;
        if (byte < 0x80) {
            if (number > (unsigned long long)format->max_size)
                return UNUSUAL;
            *frame = (Frame){i + 1, (Py_ssize_t)number, i + 1 + (Py_ssize_t)number};
            return size < frame->next ? PART : WHOLE;
        }
    }
    return PART;
}

/* A decimal size, a mark, the payload; of a netstring a comma. */
static Found find_decimal(const Format *format, const char *data, Py_ssize_t size, Frame *frame)
{
    char mark = format->kind == NETSTRING ? ':' : ' ';
    int trailer = format->kind == NETSTRING;
    Py_ssize_t number = 0;
    for (int i = 0; i < size; i++) {
        if (i > 0 && data[i] == mark) {
            if (number > format->max_size || (number == 0 && format->kind == OCTETS))
                return UNUSUAL;
            *frame = (Frame){i + 1, number, i + 1 + number + trailer};
            if (size < frame->next)
                return PART;
            return trailer && data[frame->next - 1] != ',' ? UNUSUAL : WHOLE;
        }
        bool has_leading_zero = i == 1 && data[0] == '0';
        if (data[i] < '0' || data[i] > '9' || has_leading_zero || i == MAX_DIGITS - 1)
            return UNUSUAL;
        number = number * 10 + (data[i] - '0');
    }
    return PART;
}

/* Find the next frame. `scanned` says how far an earlier call has searched for its end, or has checked its text. */
static Found find_frame(const Format *format, const char *data, Py_ssize_t size, Py_ssize_t *scanned, Frame *frame)
{
    switch (format->kind) {
    case LINES:
        return find_line(format, data, size, scanned, frame);
    case DELIMITED:
        return find_delimiter(format, data, size, scanned, frame);
    case FIXED:
        return find_fixed(format, size, frame);
    case LENGTH:
        return find_length(format, data, size, frame);
    case VARINT:
        return find_varint(format, data, size, frame);
    case NETSTRING:
    case OCTETS:
        return find_decimal(format, data, size, frame);
    case WEBSOCKET:
        return find_websocket(format, data, size, scanned, frame);
    case CHUNKS:
        *frame = (Frame){0, size, size};
        return WHOLE;
    case NOT_NATIVE:
        break;
    }
    return UNUSUAL;
}

/* Sixteen bytes that are looked at together: GCC and Clang make vector instructions of it. */
typedef unsigned char Block __attribute__((vector_size(16)));

static bool is_zero(Block block)
{
    uint64_t halves[2];
    memcpy(halves, &block, sizeof halves);
    return (halves[0] | halves[1]) == 0;
}

static bool is_ascii(const char *data, Py_ssize_t size)
{
    unsigned char bits = 0;
    if (size < (Py_ssize_t)sizeof(Block)) {
        for (Py_ssize_t i = 0; i < size; i++)
            bits |= (unsigned char)data[i];
        return bits < 0x80;
    }
    Block block, found = {0};
    const char *last = data + size - sizeof block;
    for (; data < last; data += sizeof block) {
        memcpy(&block, data, sizeof block);
        found |= block;
    }
    memcpy(&block, last, sizeof block);
    return is_zero((found | block) & 0x80);
}

/* Whether a line or carriage return is in a message. */
static bool has_line_end(const char *data, Py_ssize_t size)
{
    if (size < (Py_ssize_t)sizeof(Block)) {
        for (Py_ssize_t i = 0; i < size; i++)
            if (data[i] == '\n' || data[i] == '\r')
                return true;
        return false;
    }
    Block block, found = {0};
    const char *last = data + size - sizeof block;
    for (; data < last; data += sizeof block) {
        memcpy(&block, data, sizeof block);
        found |= (Block)((block == '\n') | (block == '\r'));
    }
    memcpy(&block, last, sizeof block);
    return !is_zero(found | (Block)((block == '\n') | (block == '\r')));
}

/* Text of UTF-8. Mostly it is ASCII, which is copied as it is. */
PyObject *read_utf8(const char *data, Py_ssize_t size)
{
    if (size < 2) /* the shared objects of short texts */
        return PyUnicode_DecodeUTF8(data, size, NULL);
    if (!is_ascii(data, size))
        return PyUnicode_DecodeUTF8(data, size, NULL);
    PyObject *text = PyUnicode_New(size, 0x7F);
    if (text != NULL)
        memcpy(PyUnicode_1BYTE_DATA(text), data, size);
    return text;
}

/* Whether nothing else has this text, or will find it: then it may become another one of the same size. */
static inline bool is_free_text(PyObject *text, Py_ssize_t size)
{
#ifdef Py_GIL_DISABLED
    return false;
#else
    if (text == NULL || Py_REFCNT(text) != 1 || PyUnicode_GET_LENGTH(text) != size || PyUnicode_CHECK_INTERNED(text))
        return false;
#if PY_VERSION_HEX < 0x030C0000
    if (((PyASCIIObject *)text)->wstr != NULL)
        return false; /* the text once more, for an old interface */
#endif
    return true;
#endif
}

/* The text of a line. A short one is kept for a while; when the handler has let it go by then, it is filled again, as
   `zip` does with its tuples: making a text and freeing it costs a fifth of a received line. */
static PyObject *read_text(RecentTexts *recent, const char *data, Py_ssize_t size)
{
    if (recent == NULL || size < 2 || size > LARGEST_KEPT_TEXT || !is_ascii(data, size))
        return read_utf8(data, size);
    PyObject **place = &recent->texts[recent->oldest];
    recent->oldest ^= 1;
    if (is_free_text(*place, size)) {
        ((PyASCIIObject *)*place)->hash = -1;
    } else {
        PyObject *text = PyUnicode_New(size, 0x7F);
        if (text == NULL)
            return NULL;
        Py_XSETREF(*place, text);
    }
    memcpy(PyUnicode_1BYTE_DATA(*place), data, size);
    return Py_NewRef(*place);
}

/* Make the message of a whole frame. `data` is the frame's first byte. */
static PyObject *read_message(RecentTexts *recent, const Format *format, const char *data, const Frame *frame)
{
    if (format->kind == WEBSOCKET)
        return read_websocket(format, data, frame);
    data += frame->begin;
    if (format->kind == LINES) {
        if (format->encoding == UTF8)
            return read_text(recent, data, frame->size);
        if (format->encoding == ASCII)
            return PyUnicode_DecodeASCII(data, frame->size, NULL);
        if (format->encoding == LATIN1)
            return PyUnicode_DecodeLatin1(data, frame->size, NULL);
    }
    return PyBytes_FromStringAndSize(data, frame->size);
}

/* Pass over the next frame of a buffer. */
Found skip_frame(const Format *format, Buffer *buffer, Py_ssize_t *scanned)
{
    Frame frame;
    Py_ssize_t size = buffer->end - buffer->next;
    if (size == 0)
        return PART;
    Found found = find_frame(format, buffer->data + buffer->next, size, scanned, &frame);
    if (found == WHOLE) {
        buffer->next += frame.next;
        *scanned = 0;
    }
    return found;
}

/* Decode the next message of a buffer. Its bytes stay where they are, before `next`. `recent`: NULL for one of a batch: a
   handler that waits still has its last batch. */
Found decode_message(RecentTexts *recent, const Format *format, Buffer *buffer, Py_ssize_t *scanned, PyObject **message)
{
    const char *data = buffer->data + buffer->next;
    Py_ssize_t size = buffer->end - buffer->next;
    Frame frame;
    if (size == 0)
        return PART;
    Found found = format->kind == LINES ? find_line(format, data, size, scanned, &frame)
                                        : find_frame(format, data, size, scanned, &frame);
    if (found != WHOLE)
        return found;
    *message = read_message(recent, format, data, &frame);
    if (*message != NULL) {
        buffer->next += frame.next;
        *scanned = 0;
        return WHOLE;
    }
    if (!PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
        return FAILED;
    PyErr_Clear();
    return UNUSUAL;
}

/* Decode up to so many lines of ASCII text, in one pass; return how many. The next line, if there is one, is for
   `decode_message`: it is not usual. */
Py_ssize_t decode_lines(const Format *format, Buffer *buffer, Py_ssize_t *scanned, PyObject **lines, Py_ssize_t limit)
{
    const char *line = buffer->data + buffer->next, *end = buffer->data + buffer->end;
    const char *from = line + *scanned, *checked = line; /* ASCII up to there */
    Py_ssize_t count = 0;
    if (format->kind != LINES || format->encoding != UTF8)
        return 0;
    while (count < limit && from < end) {
        const char *stop = memchr(from, '\n', end - from);
        if (stop == NULL)
            break;
        if (stop > checked) {
            Py_ssize_t size = Py_MIN(end - checked, Py_MAX(CHECKED_SIZE, stop - checked));
            if (!is_ascii(checked, size))
                break;
            checked += size;
        }
        Py_ssize_t size = stop - line;
        size -= size > 0 && stop[-1] == '\r';
        if (size < 2 || size > format->max_size)
            break;
        PyObject *text = PyUnicode_New(size, 0x7F);
        if (text == NULL) {
            PyErr_Clear(); /* `decode_message` has the same error */
            break;
        }
        memcpy(PyUnicode_1BYTE_DATA(text), line, size);
        lines[count++] = text;
        from = line = stop + 1;
    }
    if (count > 0) {
        buffer->next = line - buffer->data;
        *scanned = 0;
    }
    return count;
}

/* Make room for so many bytes behind the last one. */
int make_room(Buffer *buffer, Py_ssize_t size)
{
    if (buffer->capacity - buffer->end >= size)
        return 0;
    if (size > PY_SSIZE_T_MAX / 2 - buffer->end) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t capacity = Py_MAX(buffer->end + size, Py_MAX(SMALLEST_ROOM, 2 * buffer->end));
    char *data = PyMem_RawRealloc(buffer->data, capacity);
    if (data == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

/* Writing a message. */

static Found append(Buffer *buffer, const char *head, int head_size, const char *data, Py_ssize_t size,
                    const char *end, int end_size)
{
    if (head_size + size + end_size == 0)
        return WHOLE; /* memcpy(3) takes no null pointer */
    if (make_room(buffer, head_size + size + end_size) < 0)
        return FAILED;
    char *place = buffer->data + buffer->end;
    memcpy(place, head, head_size);
    memcpy(place + head_size, data, size);
    memcpy(place + head_size + size, end, end_size);
    buffer->end += head_size + size + end_size;
    return WHOLE;
}

/* Where the bytes of a message lie in it: those of bytes, or of ASCII text. NULL: nowhere. */
static const char *plain_bytes(Encoding encoding, PyObject *message, Py_ssize_t *size)
{
    if (encoding == BYTES) {
        if (!PyBytes_CheckExact(message))
            return NULL;
        *size = PyBytes_GET_SIZE(message);
        return PyBytes_AS_STRING(message);
    }
    if (!PyUnicode_CheckExact(message) || !PyUnicode_IS_COMPACT_ASCII(message))
        return NULL;
    *size = PyUnicode_GET_LENGTH(message);
    return (const char *)PyUnicode_1BYTE_DATA(message);
}

/* The bytes of a message. UNUSUAL: it is of another type, or has a character that the encoding lacks. `owner` is to be
   let go after use; it is NULL where the message itself holds the bytes. */
Found encode_text(Encoding encoding, PyObject *message, const char **data, Py_ssize_t *size, PyObject **owner)
{
    *owner = NULL;
    *data = plain_bytes(encoding, message, size);
    if (*data != NULL)
        return WHOLE;
    if (encoding == BYTES || !PyUnicode_CheckExact(message))
        return UNUSUAL;
    *owner = encoding == UTF8     ? PyUnicode_AsUTF8String(message)
             : encoding == LATIN1 ? PyUnicode_AsLatin1String(message)
                                  : PyUnicode_AsASCIIString(message);
    if (*owner == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
            return FAILED;
        PyErr_Clear();
        return UNUSUAL;
    }
    *data = PyBytes_AS_STRING(*owner);
    *size = PyBytes_GET_SIZE(*owner);
    return WHOLE;
}

static Found write_line(const Format *format, Buffer *buffer, PyObject *message)
{
    Py_ssize_t size = 0;
    PyObject *owner = NULL;
    const char *data = plain_bytes(format->encoding, message, &size);
    Found found = data != NULL ? WHOLE : encode_text(format->encoding, message, &data, &size, &owner);
    if (found != WHOLE)
        return found;
    if (size + format->end_size > format->max_size || has_line_end(data, size)) {
        found = UNUSUAL;
    } else if (make_room(buffer, size + format->end_size) < 0) {
        found = FAILED;
    } else {
        char *place = buffer->data + buffer->end;
        memcpy(place, data, size);
        place += size;
        if (format->end_size == 2)
            *place++ = '\r';
        *place = '\n';
        buffer->end += size + format->end_size;
    }
    Py_XDECREF(owner);
    return found;
}

static Found write_bytes(const Format *format, Buffer *buffer, PyObject *message)
{
    char head[32];
    int head_size = 0, end_size = 0;
    const char *data = PyBytes_AS_STRING(message), *end = "";
    Py_ssize_t size = PyBytes_GET_SIZE(message);
    if (size > format->max_size && format->kind != CHUNKS)
        return UNUSUAL;
    switch (format->kind) {
    case CHUNKS:
        break;
    case DELIMITED:
        if (format->end_size > 1 || memchr(data, format->end[0], size) != NULL)
            return UNUSUAL;
        end = format->end;
        end_size = 1;
        break;
    case FIXED:
        if (size != format->max_size)
            return UNUSUAL;
        break;
    case LENGTH: {
        head_size = format->before + format->width + format->after;
        unsigned long long number = (unsigned long long)size + format->counted;
        if (format->keep_header || head_size > (int)sizeof head ||
            (format->width < 8 && number >> (8 * format->width) != 0))
            return UNUSUAL;
        memset(head, 0, head_size);
        for (int i = 0; i < format->width; i++) {
            int place = format->is_little ? i : format->width - 1 - i;
            head[format->before + place] = (char)(number >> (8 * i));
        }
        break;
    }
    case VARINT:
        for (unsigned long long number = size;; number >>= 7) {
            head[head_size++] = (char)((number & 0x7F) | (number >= 0x80 ? 0x80 : 0));
            if (number < 0x80)
                break;
        }
        break;
    case NETSTRING:
        head_size = snprintf(head, sizeof head, "%zd:", size);
        end = ",";
        end_size = 1;
        break;
    case OCTETS:
        if (size == 0)
            return UNUSUAL;
        head_size = snprintf(head, sizeof head, "%zd ", size);
        break;
    case LINES:
    case WEBSOCKET:
    case NOT_NATIVE:
        return UNUSUAL;
    }
    return append(buffer, head, head_size, data, size, end, end_size);
}

/* Append the bytes of a message; UNUSUAL: nothing was appended, and the Python codec is to encode it. */
Found write_message(const Format *format, Buffer *buffer, PyObject *message)
{
    if (format->kind == LINES)
        return write_line(format, buffer, message);
    if (format->kind == WEBSOCKET)
        return write_websocket(format, buffer, message);
    return PyBytes_CheckExact(message) ? write_bytes(format, buffer, message) : UNUSUAL;
}

/* Many lines at once: they are measured, copied, and then searched for ends, each in one pass over all of them. */

/* How many bytes the lines take; -1: something is unusual. */
static Py_ssize_t measure_lines(const Format *format, PyObject *const *messages, Py_ssize_t count)
{
    Py_ssize_t total = 0, size = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (plain_bytes(format->encoding, messages[i], &size) == NULL || size + format->end_size > format->max_size)
            return -1;
        total += size + format->end_size;
    }
    return total;
}

/* Copy measured lines. False: an end is inside one of them. */
static bool copy_lines(const Format *format, char *place, PyObject *const *messages, Py_ssize_t count)
{
    const char *begin = place;
    Py_ssize_t size = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        const char *data = plain_bytes(format->encoding, messages[i], &size);
        memcpy(place, data, size);
        place += size;
        if (format->end_size == 2)
            *place++ = '\r';
        *place++ = '\n';
    }
    /* In blocks, with counters of one byte: a compiler makes vector instructions of it. */
    Py_ssize_t ends = 0, returns = 0;
    while (begin < place) {
        Py_ssize_t block = Py_MIN(place - begin, 128);
        unsigned char block_ends = 0, block_returns = 0;
        for (Py_ssize_t i = 0; i < block; i++) {
            block_ends += begin[i] == '\n';
            block_returns += begin[i] == '\r';
        }
        ends += block_ends;
        returns += block_returns;
        begin += block;
    }
    return ends == count && returns == (format->end_size == 2 ? count : 0);
}

/* Append many messages; UNUSUAL: nothing was appended, and they are to be written one by one. */
Found write_messages(const Format *format, Buffer *buffer, PyObject *const *messages, Py_ssize_t count)
{
    if (format->kind != LINES)
        return UNUSUAL;
    Py_ssize_t size = measure_lines(format, messages, count);
    if (size < 0)
        return UNUSUAL;
    if (size == 0)
        return WHOLE;
    if (make_room(buffer, size) < 0)
        return FAILED;
    if (!copy_lines(format, buffer->data + buffer->end, messages, count))
        return UNUSUAL;
    buffer->end += size;
    return WHOLE;
}

PyObject *core_encode_lines(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *description, *messages;
    Format format;
    if (!PyArg_ParseTuple(args, "OO:encode_lines", &description, &messages) || read_format(description, &format) < 0)
        return NULL;
    if (format.kind != LINES || !(PyList_CheckExact(messages) || PyTuple_CheckExact(messages)))
        return Py_NewRef(Py_None);
    PyObject *const *items = PySequence_Fast_ITEMS(messages);
    Py_ssize_t count = PySequence_Fast_GET_SIZE(messages), size = measure_lines(&format, items, count);
    PyObject *data = size < 0 ? Py_NewRef(Py_None) : PyBytes_FromStringAndSize(NULL, size);
    if (data != NULL && size > 0 && !copy_lines(&format, PyBytes_AS_STRING(data), items, count))
        Py_SETREF(data, Py_NewRef(Py_None));
    return data;
}
