"""What `otw lab` sets of Jupyter's server; what somebody sets on the command line replaces it."""

from helpers.channels import MAX_MESSAGE

c = get_config()  # noqa: F821 Jupyter gives it
# An upload is one message, of 10 MiB at most: a larger one would end the connection. Twice what a
# call can carry, so that a form can still say that a file is too large.
c.ServerApp.tornado_settings.update({"websocket_max_message_size": 2 * MAX_MESSAGE})
# Voila is for `otw explore`. In JupyterLab it would add a button, and a second to the start.
c.ServerApp.jpserver_extensions.update({"voila.server_extension": False})
