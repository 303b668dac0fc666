/* The docstrings of `connection.py`, word for word: a test compares them. */

#ifndef SOCKETKIT_DOCS_H
#define SOCKETKIT_DOCS_H

PyDoc_STRVAR(send_doc, "send($self, message, /)\n--\n\n"
                               "Send one message: it joins the batch of this turn of the engine, and leaves with it.\n"
                               "\n"
                               "Await what it returns, or start it as a task. It is done already, unless over `high_water` bytes are unsent:\n"
                               "then it waits for the peer to read. The message is queued by the call itself, whole; cancelling the wait does\n"
                               "not take it back.\n"
                               "\n"
                               "Args:\n"
                               "    message: of the framing's type: bytes for `chunks`, str for `lines`.\n"
                               "\n"
                               "Raises:\n"
                               "    FramingError, TypeError: the message cannot be framed; nothing was sent.\n"
                               "    ClosedError: this end, or its sending direction, was closed.\n"
                               "    BrokenError: the connection was lost; what was sent before may be lost too.\n"
                               "    DeadlineError: the peer took nothing for `send_timeout`. A frame may have been cut, so nothing can be sent\n"
                               "        any more, and every later call raises this. Receiving goes on.\n");

PyDoc_STRVAR(send_many_doc, "send_many($self, messages, /)\n--\n\n"
                               "Send several messages, in order, encoded in one go; all of them or, on an error of framing, none.\n"
                               "\n"
                               "Returns, raises and waits as `send` does.\n");

PyDoc_STRVAR(batches_doc, "batches($self, /)\n--\n\n"
                               "Iterate by lists, as `receive_many` returns them, until the end of stream.\n");

#endif
