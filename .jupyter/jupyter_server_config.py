"""What `otw lab` sets of Jupyter's server; what somebody sets on the command line replaces it."""

from helpers.channels import MAX_UPLOAD

c = get_config()  # noqa: F821 Jupyter gives it
# An upload is one message, of 10 MiB at most: a larger one would end the connection.
c.ServerApp.tornado_settings.update({"websocket_max_message_size": MAX_UPLOAD})
# Voila is for `otw explore`. In JupyterLab it would add a button, and a second to the start.
c.ServerApp.jpserver_extensions.update({"voila.server_extension": False})
