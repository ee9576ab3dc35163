"""Imports a WSGI application, and tells an operator in full why it could not be.

Importing runs the application's own start: Glance reads its configuration and opens its database. What it
does to the process on the way - logging, hooks - must not take the shim's own lines away.
"""

import gc
import importlib
import sys
import traceback

from shim.errors import NoUpstream
from shim.observe.logs import own_lines_kept
from shim.upstream.wsgi_values import WsgiApplication

# The last calls before the fault; what is above them is the import system's.
_FRAMES = 6


def load_application(target: str) -> WsgiApplication:
    """The callable that ``package.module:callable`` names; its module is imported, once a process.

    Raises:
        NoUpstream: It cannot be. ``detail`` says why in a line, ``for_operator`` has the traceback too.
    """
    module_name, _, path = target.partition(":")
    found: object = _import(target, module_name)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise _fault(target, f"there is no '{name}' in '{module_name}'") from None
    if not callable(found):
        raise _fault(target, f"no application, but of type '{type(found).__name__}'")
    application: WsgiApplication = found
    return application


def freeze_heap() -> None:
    """Take all that is there now out of the garbage collector's sight: it lives as long as the process.

    A full collection goes through every object, and stops the loop meanwhile. Those that Glance makes on
    import take it 200 ms (measured): at any moment, under any upload.
    """
    gc.collect()
    gc.freeze()


def _import(target: str, module_name: str) -> object:
    # oslo.log, for one, sends uncaught exceptions to its own log: the shim's must be seen.
    hook = sys.excepthook
    try:
        with own_lines_kept():
            return importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # Anything may come out of foreign code, SystemExit too; here it means one thing.
        raise _import_fault(target, module_name, error) from error
    finally:
        sys.excepthook = hook


def _import_fault(target: str, module_name: str, error: BaseException) -> NoUpstream:
    told = " ".join(str(error).split())
    text = f"cannot be imported: {type(error).__name__}" + (f": {told}" if told else "")
    if isinstance(error, ModuleNotFoundError) and error.name and module_name.startswith(error.name):
        text += f"; install it where {sys.executable} finds it, or name its directory in PYTHONPATH"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame)]
    return _fault(target, text, "".join(traceback.format_list(frames[-_FRAMES:])))


def _fault(target: str, text: str, trace: str = "") -> NoUpstream:
    return NoUpstream(text, for_operator=f"wsgi:{target}: {text}\n{trace}".rstrip())


def _is_machinery(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith("<frozen importlib") or frame.filename in (__file__, importlib.__file__)
